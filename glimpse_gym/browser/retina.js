// The retina: square patches of several scales around one location of an image; see glimpse_gym/retina.py.

/** Return the first row or column of a patch; it may be negative. */
function firstPixel(coordinate, extent, side) {
  return Math.floor(((coordinate + 1) * extent) / 2 - side / 2 + 0.5);
}

/** Return a coordinate as the float32 in [-1, 1] that is used for it. */
function toCoordinate(value) {
  if (!Number.isFinite(value)) throw new RangeError(`a location must be finite, got ${value}; pass numbers in [-1, 1]`);
  return Math.fround(Math.min(Math.max(value, -1), 1));
}

/**
 * Glimpse sensor: numScales square patches around a location, each twice as wide as the last, averaged to
 * patchSize x patchSize cells. Pixels outside the image count as 0.
 */
class Retina {
  /**
   * @param {number} patchSize cells on each side of a patch, and pixels of the finest one.
   * @param {number} numScales number of patches.
   */
  constructor(patchSize, numScales) {
    this.patchSize = patchSize;
    this.numScales = numScales;
  }

  /** Return the side in pixels of the patch of one scale; 0 is the finest. */
  patchSide(scale) {
    return this.patchSize * 2 ** scale;
  }

  /**
   * Return row and column of the top-left pixel of one patch, for drawing; either may be negative.
   * @param {{height: number, width: number}} image
   * @param {number} x
   * @param {number} y
   * @param {number} scale
   * @returns {{top: number, left: number}}
   */
  patchCorner(image, x, y, scale) {
    const side = this.patchSide(scale);
    return {
      top: firstPixel(toCoordinate(y), image.height, side),
      left: firstPixel(toCoordinate(x), image.width, side),
    };
  }

  /**
   * Compute the glimpse at one location.
   * @param {{pixels: Uint8Array, height: number, width: number}} image row by row.
   * @param {number} x from -1, the left edge, to 1; clipped.
   * @param {number} y from -1, the top edge, to 1; clipped.
   * @returns {Float32Array} numScales * patchSize * patchSize values in [0, 1], finest scale first, row by row.
   */
  sense(image, x, y) {
    const cells = this.patchSize ** 2;
    const glimpse = new Float32Array(this.numScales * cells);
    for (let scale = 0; scale < this.numScales; scale++) {
      const { top, left } = this.patchCorner(image, x, y, scale);
      const cellSide = 2 ** scale;
      for (let cell = 0; cell < cells; cell++) {
        const row = top + Math.floor(cell / this.patchSize) * cellSide;
        const column = left + (cell % this.patchSize) * cellSide;
        const total = sumOfSquare(image, row, column, cellSide);
        // Storing it rounds the quotient to float32. Totals above 2**24 are rounded first, as in Python.
        glimpse[scale * cells + cell] = Math.fround(total) / (255 * cellSide ** 2);
      }
    }
    return glimpse;
  }
}

/** Sum the pixels of a square that may extend beyond the image. */
function sumOfSquare(image, row, column, side) {
  const bottom = Math.min(row + side, image.height);
  const right = Math.min(column + side, image.width);
  let total = 0;
  for (let y = Math.max(row, 0); y < bottom; y++) {
    for (let x = Math.max(column, 0); x < right; x++) total += image.pixels[y * image.width + x];
  }
  return total;
}
