// Counter-based random numbers, the same as those of glimpse_gym/rng.py: each is a hash of the key of a seed, the
// number of the episode, and its position.

const GOLDEN = 0x9e3779b97f4a7c15n;
const WORD = (1n << 64n) - 1n;
const MAX_SEED = WORD;

/** Apply the finalizer of SplitMix64 to an unsigned 64-bit BigInt. */
function mix(z) {
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & WORD;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & WORD;
  return z ^ (z >> 31n);
}

/**
 * Turn a seed into the key of its random numbers.
 * @param {number|bigint} seed an integer from 0 to 2**64 - 1; as a number at most 2**53 - 1.
 * @returns {bigint}
 * @throws {RangeError} if it is not one.
 */
function keyFromSeed(seed) {
  const isInteger = typeof seed === "bigint" || Number.isSafeInteger(seed);
  if (!isInteger || seed < 0 || seed > MAX_SEED) {
    throw new RangeError(`a seed must be an integer from 0 to 2**64 - 1 (above 2**53 - 1 as a BigInt), got ${seed}`);
  }
  return mix(BigInt(seed));
}

/** Draw a key for a stream of episodes that was not seeded. */
function randomKey() {
  return mix(BigInt(Math.floor(Math.random() * 2 ** 32)) | (BigInt(Math.floor(Math.random() * 2 ** 32)) << 32n));
}

/**
 * Generate the random numbers of one episode.
 * @param {bigint} key of the seed.
 * @param {number} episode number of earlier episodes with this key.
 * @param {number} count
 * @returns {Float64Array} uniform in [0, 1).
 */
function uniforms(key, episode, count) {
  const start = mix((key + BigInt(episode) * GOLDEN) & WORD);
  return Float64Array.from({ length: count }, (_, j) => {
    const bits = mix((start + BigInt(j + 1) * GOLDEN) & WORD) >> 11n;
    return Number(bits) * 2 ** -53;
  });
}

/** Turn a uniform number in [0, 1) into an integer from 0 to size - 1. */
function integerBelow(draw, size) {
  return Math.floor(draw * size);
}
