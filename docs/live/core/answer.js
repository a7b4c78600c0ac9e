// What a network's answer says, as exhibits/common/experiment/evaluation.py reads it; and a hash of all its spikes.
"use strict";
{
  /** The class of the largest output count; among equals the one of the largest logit. */
  function predicted(count, logit) {
    let best = 0;
    for (let k = 1; k < count.length; k++) {
      if (count[k] > count[best] || (count[k] === count[best] && logit[k] > logit[best])) best = k;
    }
    return best;
  }

  /** Class probabilities: the softmax of logits over the temperature that was fitted on the development set. */
  function probabilities(logit, temperature) {
    const scaled = Array.from(logit, (z) => z / temperature);
    const top = Math.max(...scaled);
    const powers = scaled.map((z) => Math.exp(z - top));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / sum);
  }

  /** FNV-1a over numbers of cells and layers. */
  class SpikeHash {
    value = 2166136261;

    add(layer, cell) {
      this.value = Math.imul(this.value ^ (cell | (layer << 16)), 16777619) >>> 0;
    }

    addAll(layer, s, first, n) {
      for (let i = 0; i < n; i++) if (s[first + i] !== 0) this.add(layer, i);
    }
  }

  /** The hash of all spikes of a BFASNN's presentation of one picture. */
  function bfaHash(net, pixels, key) {
    const hash = new SpikeHash();
    net.begin(pixels, key);
    while (net.t < net.config.T) {
      net.step();
      for (const i of net.z0.events.of(0)) hash.add(0, i);
      hash.addAll(1, net.z1.onset, 0, net.sizes[1]);
      hash.addAll(2, net.z2.onset, 0, net.sizes[2]);
    }
    return hash.value;
  }

  /** The same of a GLSNN, whose input does not spike. */
  function glsnnHash(net, pixels) {
    const hash = new SpikeHash();
    net.present(pixels);
    for (let t = 0; t < net.config.T; t++) {
      net.layers.slice(1).forEach(({ history, n }, l) => hash.addAll(l + 1, history.s, t * n, n));
    }
    return hash.value;
  }

  globalThis.Museum ??= {};
  Object.assign(Museum, { predicted, probabilities, bfaHash, glsnnHash });
}
