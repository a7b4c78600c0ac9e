// The GLSNN: layers of leaky integrate-and-fire cells in a cascade, each in a window of T steps of its own.
//
// Forward, bit for bit the circuit of exhibits/glsnn/model.py for a batch of one pattern: every number is a float32,
// rounded after each operation (f); f(a * b + c) is a fused multiply-add. Layers are numbered from the input, 0.
"use strict";
{
  const f = Math.fround;

  /** out (m) = x (n) weights (n, m) + biases (m): a running sum with fused multiply-add, biases last. */
  function dense(x, weights, biases, out) {
    const m = biases.length;
    out.fill(0);
    for (let i = 0; i < x.length; i++) {
      const value = x[i];
      if (value === 0) continue;
      const row = i * m;
      for (let c = 0; c < m; c++) out[c] = f(out[c] + value * weights[row + c]);
    }
    for (let c = 0; c < m; c++) out[c] = f(out[c] + biases[c]);
  }

  /** Cells that integrate a constant current for T steps and trace how their rate depends on it: TracingSLIFCell. */
  class TracingCells {
    constructor(config, n) {
      Object.assign(this, { config, n });
      for (const name of ["j", "count", "rate", "sensitivity", "trace"]) this[name] = new Float32Array(n);
      this.v = new Float32Array(n);
      this.history = { v: new Float32Array(config.T * n), s: new Uint8Array(config.T * n) }; // (T, n)
    }

    /** Eqs. (3) to (6): all T steps. */
    integrate() {
      for (const name of ["v", "count", "sensitivity", "trace"]) this[name].fill(0);
      const { T } = this.config;
      for (let t = 0; t < T; t++) this.step(t);
      const share = f(1 / T);
      for (let i = 0; i < this.n; i++) this.rate[i] = f(this.count[i] * share);
    }

    step(t) {
      const { T, dt, tau_m, thr, surr_a } = this.config;
      const { j, v, trace, count, sensitivity, history, n } = this;
      const k = f(dt / tau_m);
      const threshold = f(thr);
      const share = f(1 / T);
      const slope = f(surr_a * surr_a);
      for (let i = 0; i < n; i++) {
        const potential = f(v[i] + f(k * f(j[i] - v[i])));
        const eligibility = f(trace[i] + f(k * f(1 - trace[i])));
        const fired = potential > threshold ? 1 : 0;
        const surrogate = Math.max(0, f(f(surr_a) - f(slope * Math.abs(f(potential - threshold)))));
        sensitivity[i] = f(sensitivity[i] + f(f(share * surrogate) * eligibility));
        count[i] += fired;
        v[i] = fired ? 0 : potential;
        trace[i] = fired ? 0 : eligibility;
        history.s[t * n + i] = fired;
        history.v[t * n + i] = v[i];
      }
    }
  }

  class GLSNN {
    /**
     * @param {object} config values of the circuit, as in config.py
     * @param {number[]} sizes of all layers
     * @param {object} weights W1, b1, ... forward and F1, ... the fixed feedback to all hidden layers but the last
     */
    constructor(config, sizes, weights) {
      Object.assign(this, { config, sizes, weights });
      this.input = new Float32Array(sizes[0]);
      this.layers = sizes.map((n, l) => (l === 0 ? null : new TracingCells(config, n)));
      this.last = sizes.length - 1;
    }

    /** What a layer sends: Eqs. (1), (4). */
    rates(layer) {
      return layer === 0 ? this.input : this.layers[layer].rate;
    }

    /** Presents a picture of bytes: layer after layer. */
    present(pixels) {
      for (let i = 0; i < pixels.length; i++) this.input[i] = f(pixels[i] / 255);
      for (let l = 1; l <= this.last; l++) {
        const cells = this.layers[l];
        dense(this.rates(l - 1), this.weights[`W${l}`], this.weights[`b${l}`], cells.j); // Eq. (2)
        cells.integrate();
      }
      return { count: this.layers[this.last].count.slice(), logit: this.logit };
    }

    /** (C) spikes of each output cell and the part of a next one that its potential is. */
    get logit() {
      const { count, v } = this.layers[this.last];
      const thr = f(this.config.thr);
      return count.map((spikes, i) => f(spikes + f(v[i] / thr)));
    }

    /** Eq. (7): label - r4, what every hidden layer is told. */
    error(label) {
      return this.layers[this.last].rate.map((rate, k) => f((k === label ? 1 : 0) - rate));
    }

    /**
     * Eqs. (8), (9): where feedback would have the rates of a hidden layer, target minus rate.
     *
     * @param {number} layer 1 to last - 1
     * @param {Float32Array} error as `error` gives it
     */
    feedback(layer, error) {
      const H = this.sizes[layer];
      const C = error.length;
      const out = new Float32Array(H);
      const top = layer === this.last - 1; // F${layer} is the next W transposed
      const weights = this.weights[top ? `W${this.last}` : `F${layer}`];
      for (let h = 0; h < H; h++) {
        let sum = 0;
        for (let k = 0; k < C; k++) sum = f(sum + error[k] * weights[top ? h * C + k : k * H + h]);
        out[h] = top ? f(this.config.lr_target * sum) : sum;
      }
      return out;
    }

    /** Eq. (10): how each cell's current should move: target minus rate, times what the cell remembers. */
    signal(layer, error) {
      if (layer === this.last) return error;
      const { sensitivity } = this.layers[layer];
      return this.feedback(layer, error).map((difference, h) => f(difference * sensitivity[h]));
    }
  }

  const [B1, B2, EPSILON] = [0.9, 0.999, 1e-8]; // Adam's

  /** Eq. (11): Adam with decoupled weight decay for some weights or biases, and what it remembers. */
  class Adam {
    constructor(values, eta, decay) {
      Object.assign(this, { values, eta, decay, updates: 0 });
      this.m = new Float32Array(values.length);
      this.u = new Float32Array(values.length);
    }

    /** To be called before the moves of an update. */
    begin() {
      this.updates++;
      this.root = Math.sqrt(1 - B2 ** this.updates);
      this.rate = (this.eta * this.root) / (1 - B1 ** this.updates);
    }

    /** Moves value i down its gradient g. */
    move(i, g) {
      this.m[i] = B1 * this.m[i] + (1 - B1) * g;
      this.u[i] = B2 * this.u[i] + (1 - B2) * g * g;
      const step = (this.rate * this.m[i]) / (Math.sqrt(this.u[i]) + EPSILON * this.root);
      this.values[i] = this.values[i] * (1 - this.eta * this.decay) - step;
    }
  }

  /** What learns in a layer's synapses. A mask is 1 where there is a synapse, or null if there are all. */
  class PlasticSynapses {
    constructor(config, weights, biases, mask) {
      this.weights = new Adam(weights, config.eta, config.weight_decay);
      this.biases = new Adam(biases, config.eta, 0);
      this.mask = mask;
    }

    /** Lets cells whose inputs have rates `below` go where `signal` points. */
    update(below, signal) {
      const n = signal.length;
      this.weights.begin();
      this.biases.begin();
      for (let c = 0; c < n; c++) this.biases.move(c, -signal[c]);
      for (let i = 0; i < this.weights.values.length; i++) {
        if (this.mask === null || this.mask[i] === 1) this.weights.move(i, -below[Math.floor(i / n)] * signal[i % n]);
      }
    }
  }

  /** Teaches a GLSNN, one picture at a time and without dropout; equal to Python to rounding. */
  class GLSNNLearner {
    constructor(net) {
      const { config, weights } = net;
      this.net = net;
      this.synapses = net.layers.map((_, l) =>
        l === 0 ? null : new PlasticSynapses(config, weights[`W${l}`], weights[`b${l}`], weights[`mask${l}`] ?? null),
      );
    }

    /**
     * Learns from what the net has been presented with.
     *
     * @param {number} label
     * @param {(layer: number) => boolean} reached whether feedback reaches a layer: the others do not learn
     */
    learn(label, reached = () => true) {
      const { net } = this;
      const error = net.error(label);
      const signals = this.synapses.map((synapses, l) => (synapses && reached(l) ? net.signal(l, error) : null));
      signals.forEach((signal, l) => signal && this.synapses[l].update(net.rates(l - 1), signal)); // all at once
    }
  }

  globalThis.Museum ??= {};
  Object.assign(Museum, { GLSNN, GLSNNLearner });
}
