// Damage to a BFA-SNN: silent cells, missing synapses, static in the picture. More damage includes what less of it hit.
"use strict";
{
  const { uniform, permutation } = globalThis.Museum;

  /** Weights of a network in which a share of the hidden cells gets no current, and so never fires. */
  function withoutCells(weights, sizes, share, seed) {
    const [D, H] = sizes;
    const W1 = weights.W1.slice();
    const b1 = weights.b1.slice();
    const silent = permutation(H, uniform(seed)).subarray(0, Math.round(share * H));
    for (const h of silent) {
      for (let i = 0; i < D; i++) W1[i * H + h] = 0;
      b1[h] = 0;
    }
    return { ...weights, W1, b1 };
  }

  /** Weights of which a share is 0, in both forward matrices. */
  function withoutSynapses(weights, share, seed) {
    const next = uniform(seed);
    const thinned = (W) => W.map((w) => (next() < share ? 0 : w));
    return { ...weights, W1: thinned(weights.W1), W2: thinned(weights.W2) };
  }

  /** A picture of which a share of the pixels has a random brightness. */
  function withStatic(pixels, share, seed) {
    const next = uniform(seed);
    return pixels.map((pixel) => {
      const hit = next() < share;
      const brightness = Math.floor(256 * next());
      return hit ? brightness : pixel;
    });
  }

  /**
   * All damage at once.
   *
   * @param {object} damage shares from 0 to 1: cells, synapses
   */
  function damaged(weights, sizes, { cells, synapses }, seed = 1) {
    const thinned = synapses > 0 ? withoutSynapses(weights, synapses, seed) : weights;
    return cells > 0 ? withoutCells(thinned, sizes, cells, seed + 1) : thinned;
  }

  Object.assign(Museum, { damaged, withStatic });
}
