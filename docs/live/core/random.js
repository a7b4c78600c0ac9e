// Random numbers as JAX and the museum's encoder draw them. Integers of 32 bits throughout.
"use strict";
{
  const ROTATIONS = [
    [13, 15, 26, 6],
    [17, 29, 16, 24],
  ];

  /** One call of threefry2x32: two words, encrypted under a key of two words. */
  function threefry(key, x0, x1) {
    const schedule = [key[0] | 0, key[1] | 0, (key[0] ^ key[1] ^ 0x1bd11bda) | 0];
    x0 = (x0 + schedule[0]) | 0;
    x1 = (x1 + schedule[1]) | 0;
    for (let round = 0; round < 5; round++) {
      for (const r of ROTATIONS[round & 1]) {
        x0 = (x0 + x1) | 0;
        x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
      }
      x0 = (x0 + schedule[(round + 1) % 3]) | 0;
      x1 = (x1 + schedule[(round + 2) % 3] + round + 1) | 0;
    }
    return [x0 >>> 0, x1 >>> 0];
  }

  /** jax.random.PRNGKey. */
  const prngKey = (seed) => [0, seed >>> 0];

  /** jax.random.fold_in; with jax_threefry_partitionable, JAX's default, also split(key, any)[n]. */
  const foldIn = (key, n) => threefry(key, 0, n >>> 0);

  /** The key that test digits are presented with: the last of Keys.of(seed) in circuit/seeds.py. */
  const testKey = (seed) => foldIn(prngKey(seed), 3);

  /** A hash of 32 bits (lowbias32), as events/kernels.py has it. */
  function mix(x) {
    x ^= x >>> 16;
    x = Math.imul(x, 0x7feb352d);
    x ^= x >>> 15;
    x = Math.imul(x, 0x846ca68b);
    return (x ^ (x >>> 16)) >>> 0;
  }

  /** A generator of numbers in [0, 1) for what Python does not draw: initial weights and lesions. */
  function uniform(seed) {
    let n = 0;
    const key = mix(seed | 0);
    return () => mix(key ^ mix(n++)) / 2 ** 32;
  }

  /** The numbers 0 to n - 1 in random order. */
  function permutation(n, next) {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const k = Math.floor(next() * (i + 1));
      [order[i], order[k]] = [order[k], order[i]];
    }
    return order;
  }

  /** n numbers of a normal distribution (Box and Muller). */
  function normal(n, std, next) {
    return Float32Array.from({ length: n }, () => {
      const radius = Math.sqrt(-2 * Math.log(1 - next()));
      return std * radius * Math.cos(2 * Math.PI * next());
    });
  }

  globalThis.Museum ??= {};
  Object.assign(Museum, { prngKey, foldIn, testKey, mix, uniform, permutation, normal });
}
