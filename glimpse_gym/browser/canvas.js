// Canvases: a digit at a random position, and clutter cut out of other digits; see glimpse_gym/clutter.py.

const DRAWS_PER_CORNER = 2;
const DRAWS_PER_PIECE = 5;

/** Return how many random numbers a canvas with this many pieces of clutter takes. */
function drawsPerCanvas(numClutter) {
  return DRAWS_PER_CORNER + DRAWS_PER_PIECE * numClutter;
}

/**
 * Compose a canvas: place a digit at a random position fully inside, and add clutter, clipping at 255.
 * @param {{canvasSize: number, numClutter: number, clutterSize: number}} env
 * @param {Array<{pixels: Uint8Array, height: number, width: number}>} images all digits.
 * @param {number} index of the digit to place.
 * @param {Float64Array} draws as many as drawsPerCanvas returns.
 * @returns {{pixels: Uint8Array, height: number, width: number}}
 */
function composeCanvas(env, images, index, draws) {
  const side = env.canvasSize;
  const digit = images[index];
  const canvas = { pixels: new Uint8Array(side * side), height: side, width: side };
  const target = {
    row: integerBelow(draws[0], side - digit.height + 1),
    column: integerBelow(draws[1], side - digit.width + 1),
  };
  addRectangle(digit, { row: 0, column: 0 }, canvas, target, digit.height, digit.width);
  for (let piece = 0; piece < env.numClutter; piece++) {
    const first = DRAWS_PER_CORNER + DRAWS_PER_PIECE * piece;
    addPiece(env, images, index, canvas, draws.subarray(first, first + DRAWS_PER_PIECE));
  }
  return canvas;
}

/** Cut one piece of clutter out of any digit except the one on the canvas, whose index is skipped, and add it. */
function addPiece(env, images, index, canvas, draws) {
  const side = env.clutterSize;
  let other = integerBelow(draws[0], images.length - 1);
  if (other >= index) other += 1;
  const source = images[other];
  const from = {
    row: integerBelow(draws[1], source.height - side + 1),
    column: integerBelow(draws[2], source.width - side + 1),
  };
  const to = {
    row: integerBelow(draws[3], canvas.height - side + 1),
    column: integerBelow(draws[4], canvas.width - side + 1),
  };
  addRectangle(source, from, canvas, to, side, side);
}

/** Add a rectangle of one image to another, clipping at 255. */
function addRectangle(source, from, target, to, height, width) {
  for (let y = 0; y < height; y++) {
    const first = (from.row + y) * source.width + from.column;
    const start = (to.row + y) * target.width + to.column;
    for (let x = 0; x < width; x++) {
      target.pixels[start + x] = Math.min(target.pixels[start + x] + source.pixels[first + x], 255);
    }
  }
}
