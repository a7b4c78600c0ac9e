// The BFA-SNN: input spikes, one hidden layer and an output layer of leaky integrate-and-fire cells.
//
// Spike for spike the circuit of exhibits/bfa_snn/model.py: every number is a float32, rounded after each operation
// (f), in the order in which the kernels of exhibits/common/cells/events add. B patterns, layers of D, H and C cells.
"use strict";
{
  const { mix } = globalThis.Museum;
  const f = Math.fround;

  /** The cells of a layer that are active, pattern by pattern and ascending. */
  class Events {
    constructor(batchSize, n) {
      this.n = n;
      this.index = new Uint16Array(batchSize * n);
      this.count = new Uint32Array(batchSize);
    }

    /** Lists where s (B, n) is not 0. */
    list(s) {
      for (let b = 0; b < this.count.length; b++) {
        const row = b * this.n;
        let k = row;
        for (let i = 0; i < this.n; i++) if (s[row + i] !== 0) this.index[k++] = i;
        this.count[b] = k - row;
      }
    }

    /** The active cells of pattern b. */
    of(b) {
      return this.index.subarray(b * this.n, b * this.n + this.count[b]);
    }
  }

  /** Bernoulli input spikes: a hash of key, step and place is compared with each pixel's probability. */
  class Encoder {
    constructor(batchSize, n) {
      this.level = new Float64Array(batchSize * n); // p 2^24, which a 24-bit hash is compared with
      this.bright = new Events(batchSize, n); // pixels that are not 0: the others never fire
      this.events = new Events(batchSize, n);
    }

    /**
     * @param {Uint8Array} pixels (B, D) bytes
     * @param {number} gain firing probability of a fully bright pixel at each step
     * @param {number[]} key of the minibatch
     * @param {number} firstRow row of the first pattern in Python's minibatch
     */
    begin(pixels, gain, key, firstRow) {
      for (let i = 0; i < pixels.length; i++) this.level[i] = f(f(gain) * f(pixels[i] / 255)) * 2 ** 24;
      this.bright.list(pixels);
      Object.assign(this, { key, firstRow });
    }

    draw(step) {
      const key0 = mix((mix(this.key[0]) + step) | 0);
      const key1 = mix((mix(this.key[1] ^ key0) + step) | 0);
      const { index, count, n } = this.events;
      for (let b = 0; b < count.length; b++) {
        const row = b * n;
        const first = this.firstRow * n + row;
        let k = row;
        for (const i of this.bright.of(b)) {
          if (mix(mix((first + i) ^ key0) ^ key1) >>> 8 < this.level[row + i]) index[k++] = i;
        }
        count[b] = k - row;
      }
    }
  }

  /** currents (B, m) = biases + the rows of weights (n, m) that events name. */
  function gather(events, weights, biases, currents) {
    const m = biases.length;
    for (let b = 0; b < events.count.length; b++) {
      const sums = currents.subarray(b * m, (b + 1) * m);
      sums.set(biases);
      addRows(events.of(b), weights, sums);
    }
  }

  /** Adds rows of weights (n, m) to sums (m), one after another; four at a time to halve the time. */
  function addRows(active, weights, sums) {
    const m = sums.length;
    const whole = active.length - (active.length % 4);
    for (let k = 0; k < whole; k += 4) {
      const [w0, w1, w2, w3] = [active[k] * m, active[k + 1] * m, active[k + 2] * m, active[k + 3] * m];
      for (let c = 0; c < m; c++) {
        sums[c] = f(f(f(f(sums[c] + weights[w0 + c]) + weights[w1 + c]) + weights[w2 + c]) + weights[w3 + c]);
      }
    }
    for (let k = whole; k < active.length; k++) {
      const row = active[k] * m;
      for (let c = 0; c < m; c++) sums[c] = f(sums[c] + weights[row + c]);
    }
  }

  /** Leaky integrate-and-fire cells whose spikes stick for the refractory period, as SecantSLIFCell has them. */
  class Cells {
    /** @param {boolean} fused whether R j - v is rounded once: XLA does so, the kernel of the hidden cells does not. */
    constructor(config, batchSize, n, fused) {
      Object.assign(this, { config, fused });
      for (const name of ["j", "v", "rfr", "s", "onset"]) this[name] = new Float32Array(batchSize * n);
      this.events = new Events(batchSize, n);
    }

    begin() {
      this.v.fill(0);
      this.rfr.fill(f(this.config.refract_time));
      this.s.fill(0);
      this.onset.fill(0);
    }

    /** One Euler step: tau_m dv/dt = R j - v outside the refractory period. */
    step() {
      const { j, v, rfr, s, onset, fused } = this;
      const R = f(this.config.resist_m);
      const leak = f(1 / f(this.config.tau_m));
      const dt = f(this.config.dt);
      const thr = f(this.config.thr);
      const refractory = f(this.config.refract_time);
      for (let i = 0; i < v.length; i++) {
        const held = rfr[i] < refractory;
        const pull = fused ? f(R * j[i] - v[i]) : f(f(R * j[i]) - v[i]);
        const potential = held ? v[i] : f(v[i] + f(f(pull * leak) * dt));
        const fired = potential > thr;
        v[i] = fired ? 0 : potential;
        rfr[i] = fired ? dt : f(rfr[i] + dt);
        s[i] = fired || held ? 1 : 0;
        onset[i] = fired ? 1 : 0;
      }
      this.events.list(s);
    }
  }

  class BFASNN {
    /**
     * @param {object} config values of the circuit, as in config.py
     * @param {number[]} sizes D, H and C
     * @param {object} weights W1 (D, H), b1, W2 (H, C), b2 and the fixed feedback E2 (C, H)
     * @param {number} batchSize B
     */
    constructor(config, sizes, weights, batchSize = 1) {
      const [D, H, C] = sizes;
      Object.assign(this, { config, sizes, weights, batchSize });
      this.z0 = new Encoder(batchSize, D);
      this.z1 = new Cells(config, batchSize, H, false);
      this.z2 = new Cells(config, batchSize, C, true);
      this.count = new Float32Array(batchSize * C);
      this.current = new Float32Array(batchSize * C);
    }

    /** Puts B patterns in place, all cells at rest. */
    begin(pixels, key, firstRow = 0) {
      this.z0.begin(pixels, this.config.input_gain, key, firstRow);
      this.z1.begin();
      this.z2.begin();
      this.count.fill(0);
      this.current.fill(0);
      this.t = 0;
    }

    /** One time step of all layers. */
    step() {
      const { W1, b1, W2, b2 } = this.weights;
      this.z0.draw(this.t);
      gather(this.z0.events, W1, b1, this.z1.j);
      this.z1.step();
      gather(this.z1.events, W2, b2, this.z2.j);
      this.z2.step();
      this.addUp();
      this.t++;
    }

    addUp() {
      const counted = this.t >= this.config.burn_in;
      for (let i = 0; i < this.count.length; i++) {
        this.count[i] += this.z2.s[i];
        if (counted) this.current[i] = f(this.current[i] + this.z2.j[i]);
      }
    }

    /** (B, C) mean currents into the output cells after burn-in: their softmax gives the class probabilities. */
    get logit() {
      const share = f(1 / (this.config.T - this.config.burn_in)); // XLA multiplies by the reciprocal
      return this.current.map((sum) => f(sum * share));
    }

    /** Presents B patterns for all T steps. */
    present(pixels, key, firstRow = 0) {
      this.begin(pixels, key, firstRow);
      while (this.t < this.config.T) this.step();
      return { count: this.count.slice(), logit: this.logit };
    }
  }

  Object.assign(Museum, { BFASNN });
}
