// Learning of the BFA-SNN by broadcast feedback alignment, at the initial learning rates.
//
// On a CPU with fused multiply-add, bit for bit what the event path of exhibits/bfa_snn does. A fused multiply-add is
// f(a * b + c): the product of two float32 numbers is exact in a double. Equation numbers as in model.py.
"use strict";
{
  const f = Math.fround;

  // XLA's tanh in float32: a rational function.
  const NUMERATOR = Float32Array.of(
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-8,
    1.48572235717979e-5,
    6.37261928875436e-4,
    4.89352455891786e-3,
  );
  const DENOMINATOR = Float32Array.of(1.19825839466702e-6, 1.18534705686654e-4, 2.268434632439e-3, 4.89352518554385e-3);
  const LIMIT = f(7.99881172180175781);

  /** A polynomial by Horner's rule, with fused multiply-add. */
  function polynomial(coefficients, x) {
    let sum = coefficients[0];
    for (let i = 1; i < coefficients.length; i++) sum = f(x * sum + coefficients[i]);
    return sum;
  }

  function tanh(x) {
    if (Math.abs(x) < f(0.0004)) return x;
    if (Math.abs(x) > 20) return Math.sign(x);
    const y = Math.max(-LIMIT, Math.min(LIMIT, x));
    const square = f(y * y);
    return f(f(y * polynomial(NUMERATOR, square)) / polynomial(DENOMINATOR, square));
  }

  /** Teaches a BFASNN. */
  class Learner {
    constructor(net) {
      const [D, H, C] = net.sizes;
      this.net = net;
      this.rates = Float32Array.from(net.config.eta);
      this.error = new Float32Array(net.batchSize * C); // e2
      this.signal = new Float32Array(net.batchSize * H); // d1
      this.total = new Float32Array(Math.max(D, H, C));
    }

    /** Eq. (5): error e2 = label - s2. */
    compare(labels) {
      const { s } = this.net.z2;
      const C = this.net.sizes[2];
      for (let b = 0; b < labels.length; b++) {
        for (let k = 0; k < C; k++) this.error[b * C + k] = (labels[b] === k ? 1 : 0) - s[b * C + k];
      }
    }

    /** Eqs. (7), (8): the error through the fixed feedback, gated by what each cell's current makes of it. */
    feedBack() {
      const [, H, C] = this.net.sizes;
      const { config, weights, z1 } = this.net;
      const slope = f(config.surr_c2);
      const R = f(config.resist_m);
      for (let i = 0; i < this.signal.length; i++) {
        const j = f(R * z1.j[i]);
        const h = i % H;
        const row = Math.floor(i / H) * C;
        let sum = 0;
        if (j > 0) {
          for (let k = 0; k < C; k++) sum = f(sum + this.error[row + k] * weights.E2[k * H + h]);
          const t = tanh(f(slope * j));
          sum = f(sum * f(1 - t * t));
        }
        this.signal[i] = sum;
      }
    }

    /** total = the rows of error (B, m) of some patterns, added up in their order. */
    addRows(patterns, error, m) {
      this.total.fill(0, 0, m);
      for (const b of patterns) {
        const row = b * m;
        for (let c = 0; c < m; c++) this.total[c] = f(this.total[c] + error[row + c]);
      }
    }

    /** target[first, first + m) += rate total. */
    addTotal(rate, target, first, m) {
      for (let c = 0; c < m; c++) target[first + c] = f(target[first + c] + rate * this.total[c]);
    }

    /** Eqs. (9), (10): W += rate s^T error, b += rate error, summed over the minibatch. */
    update(rate, events, error, weights, biases) {
      const m = biases.length;
      const patterns = Array.from({ length: events.n }, () => []); // for which each cell is active
      for (let b = 0; b < events.count.length; b++) for (const i of events.of(b)) patterns[i].push(b);
      patterns.forEach((active, i) => {
        if (active.length === 0) return;
        this.addRows(active, error, m);
        this.addTotal(rate, weights, i * m, m);
      });
      this.addRows(events.count.keys(), error, m);
      this.addTotal(rate, biases, 0, m);
    }

    /** A time step in which the synapses learn, but during burn-in. */
    step(labels) {
      const { net } = this;
      const { W1, b1, W2, b2 } = net.weights;
      net.step();
      if (net.t <= net.config.burn_in) return;
      this.compare(labels);
      this.feedBack();
      this.update(this.rates[0], net.z0.events, this.signal, W1, b1);
      this.update(this.rates[1], net.z1.events, this.error, W2, b2);
    }

    /** Presents a minibatch and learns from it at every step. */
    teach(pixels, labels, key) {
      this.net.begin(pixels, key);
      while (this.net.t < this.net.config.T) this.step(labels);
    }
  }

  Object.assign(Museum, { Learner, tanh });
}
