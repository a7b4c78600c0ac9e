// From a drawing to MNIST's format, as Yann LeCun and colleagues made it: scaled to fit 20 x 20, then centred by mass.
"use strict";
{
  const SIDE = 28;
  const BOX = 20;
  const INKED = 8; // of 255: the smoothed edge of a stroke is no ink

  /** The smallest box with all ink in it, or null. */
  function boundingBox(ink, width, height) {
    let [left, right, top, bottom] = [width, -1, height, -1];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (ink[y * width + x] <= INKED) continue;
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y);
      }
    }
    return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
  }

  /** [index, weight] of each whole number that [from, to) covers, in part or whole. */
  function coverage(from, to) {
    const parts = [];
    for (let i = Math.floor(from); i < to; i++) parts.push([i, Math.min(i + 1, to) - Math.max(i, from)]);
    return parts;
  }

  /** The ink in a box, at another size: each pixel is the mean of the area that it covers. */
  function resample(ink, width, box, columns, rows) {
    const out = new Float64Array(columns * rows);
    const [dx, dy] = [box.width / columns, box.height / rows];
    for (let row = 0; row < rows; row++) {
      const ys = coverage(row * dy, Math.min(box.height, (row + 1) * dy));
      for (let column = 0; column < columns; column++) {
        const xs = coverage(column * dx, Math.min(box.width, (column + 1) * dx));
        let sum = 0;
        let area = 0;
        for (const [y, high] of ys) {
          for (const [x, wide] of xs) {
            sum += high * wide * ink[(box.top + y) * width + box.left + x];
            area += high * wide;
          }
        }
        out[row * columns + column] = sum / area;
      }
    }
    return out;
  }

  /** Centre of mass, in numbers of pixels. */
  function centreOfMass(pixels, columns) {
    let [mass, x, y] = [0, 0, 0];
    pixels.forEach((p, i) => {
      mass += p;
      x += p * (i % columns);
      y += p * Math.floor(i / columns);
    });
    return [x / mass, y / mass];
  }

  /**
   * @param {ArrayLike<number>} ink brightness 0 to 255, row by row
   * @returns {Uint8Array | null} 28 x 28 bytes, or null if nothing is drawn
   */
  function toMnist(ink, width, height) {
    const box = boundingBox(ink, width, height);
    if (box === null) return null;
    const scale = BOX / Math.max(box.width, box.height);
    const [columns, rows] = [box.width, box.height].map((side) => Math.max(1, Math.round(side * scale)));
    const small = resample(ink, width, box, columns, rows);
    const [x, y] = centreOfMass(small, columns);
    return placed(small, columns, Math.round(SIDE / 2 - x), Math.round(SIDE / 2 - y));
  }

  /** A small picture in one of 28 x 28, its top left corner at (left, top). */
  function placed(small, columns, left, top) {
    const out = new Uint8Array(SIDE * SIDE);
    small.forEach((p, i) => {
      const x = left + (i % columns);
      const y = top + Math.floor(i / columns);
      if (x >= 0 && x < SIDE && y >= 0 && y < SIDE) out[y * SIDE + x] = Math.round(p);
    });
    return out;
  }

  globalThis.Museum ??= {};
  Object.assign(Museum, { toMnist });
}
