// From the generated files to arrays: base64, int8 weights with a scale per column.
"use strict";
{
  const f = Math.fround;

  function bytes(text) {
    const binary = atob(text);
    const out = new Uint8Array(binary.length);
    for (let i = 0; i < out.length; i++) out[i] = binary.charCodeAt(i);
    return out;
  }

  const floats = (text) => new Float32Array(bytes(text).buffer);

  /** (n, m) weights, row by row: the same float32 products as NumPy's `q * scale`. */
  function matrix({ q, scale, shape }) {
    const [rows, columns] = shape;
    const integers = new Int8Array(bytes(q).buffer);
    const scales = floats(scale);
    const out = new Float32Array(rows * columns);
    for (let i = 0; i < out.length; i++) out[i] = f(integers[i] * scales[i % columns]);
    return out;
  }

  /** Where the weights of square patches of a picture are in a (D, H) matrix; `first`: their top left pixels. */
  function placesOf({ shape, first, side, width }) {
    const columns = shape[1];
    const corner = new Uint16Array(bytes(first).buffer);
    return Uint32Array.from({ length: side * side * columns }, (_, i) => {
      const within = Math.floor(i / columns);
      const pixel = corner[i % columns] + Math.floor(within / side) * width + (within % side);
      return pixel * columns + (i % columns);
    });
  }

  /** (D, H) weights of cells that see a patch of the picture each, and the mask of their synapses. */
  function patches(packed) {
    const [rows, columns] = packed.shape;
    const patch = matrix({ ...packed, shape: [packed.side ** 2, columns] });
    const weights = new Float32Array(rows * columns);
    const mask = new Uint8Array(rows * columns);
    placesOf(packed).forEach((place, i) => {
      weights[place] = patch[i];
      mask[place] = 1;
    });
    return { weights, mask };
  }

  /** All weights of a generated file: W1, b1, ..., fixed feedback, and masks where not all synapses exist. */
  function unpackWeights({ matrices, biases }) {
    const found = {};
    for (const [name, packed] of Object.entries(matrices)) {
      if ("first" in packed) ({ weights: found[name], mask: found[name.replace("W", "mask")] } = patches(packed));
      else found[name] = matrix(packed);
    }
    for (const [name, packed] of Object.entries(biases)) found[name.replace("W", "b")] = floats(packed);
    return found;
  }

  /** Pictures of a generated file: { label, pixels } each, pixels as bytes 0 to 255. */
  function unpackDigits({ images, labels, size }) {
    const all = bytes(images);
    return Array.from(labels, (label, i) => ({ label: Number(label), pixels: all.slice(i * size, (i + 1) * size) }));
  }

  globalThis.Museum ??= {};
  Object.assign(Museum, { unpackWeights, unpackDigits });
}
