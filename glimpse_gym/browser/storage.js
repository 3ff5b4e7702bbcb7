// How digits and weights are stored in the page; glimpse_gym/browser/digits.py and weights.py write them.

/**
 * Decode text: each five characters are a 32-bit number in base 85, and the first is the number of bytes that follow.
 * @param {string} text
 * @param {string} alphabet its 85 digits.
 * @returns {Uint8Array}
 */
function bytesFromText(text, alphabet) {
  const digits = new Uint8Array(128);
  for (let i = 0; i < alphabet.length; i++) digits[alphabet.charCodeAt(i)] = i;
  const view = new DataView(new ArrayBuffer((text.length / 5) * 4));
  for (let i = 0; i < text.length; i += 5) {
    let word = 0;
    for (let j = i; j < i + 5; j++) word = word * 85 + digits[text.charCodeAt(j)];
    view.setUint32((i / 5) * 4, word);
  }
  return new Uint8Array(view.buffer, 4, view.getUint32(0));
}

/**
 * Read the digits.
 * @param {{side: number, labels: number[], pixels: string}} stored pixels: text of all images, in which each run of
 *   zeros is a zero and the length of the run.
 * @param {string} alphabet of the text.
 * @returns {{images: Array<{pixels: Uint8Array, height: number, width: number}>, labels: number[]}}
 */
function readDigits({ side, labels, pixels }, alphabet) {
  const packed = bytesFromText(pixels, alphabet);
  const unpacked = new Uint8Array(labels.length * side * side); // zeros
  let to = 0;
  for (let i = 0; i < packed.length; i++) {
    if (packed[i] === 0) to += packed[++i];
    else unpacked[to++] = packed[i];
  }
  const images = labels.map((_, i) => ({
    pixels: unpacked.subarray(i * side * side, (i + 1) * side * side),
    height: side,
    width: side,
  }));
  return { images, labels };
}

/** Decompress bytes of zlib's format: a promise of a Uint8Array. */
async function inflate(compressed) {
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Read the weights of an agent: first the float32 values, then the low bytes of all 16-bit integers, then their high
 * bytes. A tensor marked as rounded has one factor per row among the floats, and a 16-bit integer per weight.
 * @param {Array<{name: string, shape: number[], rounded: boolean}>} layout
 * @param {Uint8Array} compressed
 * @returns {Promise<Object<string, {shape: number[], values: Float32Array}>>} by name.
 */
async function readWeights(layout, compressed) {
  const content = await inflate(compressed);
  const sizes = layout.map(({ shape }) => shape.reduce((product, size) => product * size, 1));
  const numFloats = layout.reduce((sum, { shape, rounded }, i) => sum + (rounded ? shape[0] : sizes[i]), 0);
  const numRounded = layout.reduce((sum, { rounded }, i) => sum + (rounded ? sizes[i] : 0), 0);
  const view = new DataView(content.buffer, content.byteOffset);
  const low = content.subarray(4 * numFloats, 4 * numFloats + numRounded);
  const high = new Int8Array(content.buffer, content.byteOffset + 4 * numFloats + numRounded, numRounded);
  let float = 0;
  let integer = 0;
  const tensors = {};
  layout.forEach(({ name, shape, rounded }, i) => {
    const values = new Float32Array(sizes[i]);
    const rows = rounded ? shape[0] : sizes[i];
    const columns = sizes[i] / rows;
    for (let row = 0; row < rows; row++) {
      const factor = view.getFloat32(4 * float++, true);
      if (!rounded) values[row] = factor;
      else {
        for (let column = 0; column < columns; column++, integer++) {
          values[row * columns + column] = factor * (256 * high[integer] + low[integer]);
        }
      }
    }
    tensors[name] = { shape, values };
  });
  return tensors;
}
