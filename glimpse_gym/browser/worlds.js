// The rules of the envs, one episode at a time; see glimpse_gym/world.py, envs/classification.py and envs/catch.py.

/**
 * Base class of the worlds. The same seed and the same steps give the same episode as the env in Python, made with
 * the digits of this page.
 *
 * Attributes: env, an entry of `envs`; retina; horizon, the number of steps of an episode; choiceNames; steps, the
 * steps taken; running; location, {x, y}, where the last glimpse was taken.
 */
class World {
  constructor(env, numDraws) {
    this.env = env;
    this.retina = new Retina(env.patchSize, env.numScales);
    this.horizon = env.horizon;
    this.choiceNames = env.choiceNames;
    this.steps = 0;
    this.running = false;
    this.location = { x: 0, y: 0 };
    this._image = null;
    this._numDraws = numDraws;
    this._key = null;
    this._episode = 0;
  }

  /**
   * Start a new episode.
   * @param {number|bigint} [seed] restarts the stream of episodes; without it, the stream continues.
   * @throws {RangeError} if the seed is not accepted.
   */
  reset(seed) {
    if (seed !== undefined || this._key === null) {
      this._key = seed === undefined ? randomKey() : keyFromSeed(seed);
      this._episode = 0;
    }
    const draws = uniforms(this._key, this._episode, this._numDraws);
    this._episode += 1;
    this.steps = 0;
    this.running = true;
    this._begin(draws);
  }

  /**
   * Take one step.
   * @param {{x: number, y: number, choice: number}} action where to look next, clipped to [-1, 1], and the index of
   *   the label or move. A label counts at the last step only.
   * @returns {{reward: number, terminated: boolean, looked: boolean}} looked: the step took a new glimpse.
   * @throws {Error} if no episode is running; {RangeError} if the action is not accepted. The episode is unchanged.
   */
  step({ x, y, choice }) {
    if (!this.running) throw new Error("no episode is running, or it has ended: call reset() first");
    const location = { x: toCoordinate(x), y: toCoordinate(y) };
    if (!Number.isInteger(choice) || choice < 0 || choice >= this.choiceNames.length) {
      throw new RangeError(`choice must be an integer from 0 to ${this.choiceNames.length - 1}, got ${choice}`);
    }
    this.steps += 1;
    this.running = this.steps < this.horizon;
    return { terminated: !this.running, ...this._apply(location, choice) };
  }

  /** Steps taken / horizon, the `time` of the observation. */
  get time() {
    return Math.fround(this.steps / this.horizon);
  }

  /** Return the glimpse at the location: Float32Array, as of Retina.sense. Throws an Error before the first reset. */
  glimpse() {
    return this.retina.sense(this._currentImage(), this.location.x, this.location.y);
  }

  /**
   * Return a copy of the whole current image, {pixels, height, width}: for drawing, no player may see it. Throws an
   * Error before the first reset.
   */
  image() {
    const image = this._currentImage();
    return { ...image, pixels: image.pixels.slice() };
  }

  _currentImage() {
    if (!this._image) throw new Error("there is no image yet: call reset() first");
    return this._image;
  }
}

/** Classification: look at an image one glimpse at a time, then choose its label. */
class ClassificationWorld extends World {
  constructor(env, digits) {
    super(env, 3 + (env.canvasSize ? drawsPerCanvas(env.numClutter) : 0));
    this._digits = digits;
    this._label = -1;
    /** The label answered; -1 before the end. */
    this.prediction = -1;
    /** Index of the digit among the digits of the page. */
    this.imageIndex = -1;
  }

  /** The true label; -1 before the end. */
  get label() {
    return this.running ? -1 : this._label;
  }

  _begin(draws) {
    const { images, labels } = this._digits;
    this.imageIndex = integerBelow(draws[0], images.length);
    this._label = labels[this.imageIndex];
    this.prediction = -1;
    this.location = { x: Math.fround(2 * draws[1] - 1), y: Math.fround(2 * draws[2] - 1) };
    this._image = this.env.canvasSize
      ? composeCanvas(this.env, images, this.imageIndex, draws.subarray(3))
      : images[this.imageIndex];
  }

  _apply(location, choice) {
    if (this.running) {
      this.location = location;
      return { reward: 0, looked: true };
    }
    this.prediction = choice;
    return { reward: Number(choice === this._label), looked: false };
  }
}

const LIT = 255;

/** Catch: move a paddle under a falling ball that is seen through a retina. */
class CatchWorld extends World {
  constructor(env) {
    super(env, 3);
    this.side = env.imageSize;
    this._ball = 0; // column; the row is the step
    this._velocity = 0; // columns per step
    /** Left of the paddle's two columns, in the bottom row. */
    this.paddle = 0;
  }

  /** Row and column of the ball, {row, column}. */
  get ball() {
    return { row: this.steps, column: Math.floor(this._ball + 0.5) };
  }

  /** Whether the ball was caught; false while it falls. */
  get caught() {
    const offset = this.ball.column - this.paddle;
    return !this.running && offset >= 0 && offset <= 1;
  }

  _begin(draws) {
    this._ball = integerBelow(draws[0], this.side);
    this._velocity = 2 * draws[1] - 1;
    this.paddle = integerBelow(draws[2], this.side - 1);
    this.location = { x: 0, y: 0 };
    this._draw();
  }

  _apply(location, move) {
    this.paddle = Math.min(Math.max(this.paddle + move - 1, 0), this.side - 2); // moves: left, stay, right
    this._moveBall();
    this.location = location;
    this._draw();
    return { reward: Number(this.caught), looked: true };
  }

  /** Move the ball sideways, reflected by the walls. */
  _moveBall() {
    const right = this.side - 1;
    this._ball += this._velocity;
    if (this._ball < 0 || this._ball > right) {
      this._ball = this._ball < 0 ? -this._ball : 2 * right - this._ball;
      this._velocity = -this._velocity;
    }
  }

  _draw() {
    const pixels = new Uint8Array(this.side ** 2);
    const { row, column } = this.ball;
    pixels.fill(LIT, (this.side - 1) * this.side + this.paddle, (this.side - 1) * this.side + this.paddle + 2);
    pixels[row * this.side + column] = LIT;
    this._image = { pixels, height: this.side, width: this.side };
  }
}
