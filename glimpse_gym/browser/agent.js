// An agent: the recurrent attention model as a player of one episode at a time; see agents/ram.py.

/** A trained agent, which always looks at its mean location and takes its most probable choice. */
class Agent {
  /**
   * @param {Object} entry its entry in the page: name, envId, config, layout.
   * @param {Object} tensors its weights by name, as readWeights returns them.
   */
  constructor({ name, envId, config }, tensors) {
    this.name = name;
    this.envId = envId;
    const [depth, size] = config.glimpseShape;
    this._numValues = depth * size * size;
    this._glimpseNetwork = new GlimpseNetwork(tensorsOf(tensors, "glimpse_network"), config);
    this._core = new CORES[config.core](tensorsOf(tensors, "core_network"));
    this._location = tensorsOf(tensors, "location_network.mean");
    this._choice = tensorsOf(tensors, "choice_network.logits");
    this.reset();
  }

  /** Forget the episode. Call it before the first glimpse of each. */
  reset() {
    this._state = this._core.initialState();
  }

  /**
   * Decide after a glimpse.
   * @param {Float32Array} glimpse as of World.glimpse.
   * @param {number} x where it was taken.
   * @param {number} y
   * @returns {{probabilities: Float32Array, x: number, y: number, choice: number}} the probability of each label or
   *   move, where to look next, and the most probable choice: an action for World.step.
   * @throws {RangeError} if the glimpse is not of this agent's env.
   */
  decide(glimpse, x, y) {
    if (glimpse.length !== this._numValues) {
      throw new RangeError(`${this.name} takes glimpses of ${this._numValues} values, got ${glimpse.length}`);
    }
    this._state = this._core.apply(this._glimpseNetwork.apply(glimpse, x, y), this._state);
    const { hidden } = this._state;
    const [nextX, nextY] = applyLinear(this._location, hidden).map(Math.tanh);
    const logits = applyLinear(this._choice, hidden);
    return { probabilities: softmax(logits), x: nextX, y: nextY, choice: argmax(logits) };
  }
}
