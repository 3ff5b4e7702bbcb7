// Rules of play in the page: phases, key bindings, the agent's part, and the score, as in glimpse_gym/play/game.py.
// Knows neither the page nor the rules of any world.

const GAZE_SPEED = 0.9; // of the gaze moved by keys, per second, in units in which the image is 2 wide
const DIRECTIONS = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] };
const WASD = { a: "left", d: "right", w: "up", s: "down" };
const MOVES = { left: 0, right: 2 };
const STAY = 1;

/** Episode in progress of one player: the world, and all that was seen and done so far. */
class Episode {
  /**
   * @param {string} envId
   * @param {number} seed the same seed gives all players the same image and first glimpse.
   */
  constructor(envId, seed) {
    this.world = glimpse.makeWorld(envId);
    this.world.reset(seed);
    /** Places of the glimpses so far, {x, y}, and what was seen there. */
    this.fixations = [];
    this.glimpses = [];
    /** Images so far: one, or one of each step if the image moves. */
    this.images = [];
    this.success = false;
    this._see();
  }

  get over() {
    return !this.world.running;
  }

  get imageMoves() {
    return this.world.env.kind === "catch";
  }

  /** Glimpses that can still be taken. In a world with a final answer, it is due at 0. */
  get glimpsesLeft() {
    return this.world.horizon - this.fixations.length;
  }

  /** Take one step; choice is the label or the move. */
  step(x, y, choice) {
    const { reward, looked } = this.world.step({ x, y, choice });
    this.success = reward > 0;
    if (looked) this._see();
  }

  /** Give the final answer now. The steps that remain repeat the location, and are no glimpses of the player. */
  answer(label) {
    while (!this.over) this.world.step({ ...this.world.location, choice: label });
    this.success = this.world.prediction === this.world.label;
  }

  _see() {
    this.fixations.push({ ...this.world.location });
    this.glimpses.push(this.world.glimpse());
    if (this.imageMoves || !this.images.length) this.images.push(this.world.image());
  }
}

/** Agent that plays the same episode as the person, glimpse by glimpse. */
class Opponent {
  constructor(envId, seed, agent) {
    this.episode = new Episode(envId, seed);
    /** Probabilities of the labels or moves after each glimpse. */
    this.beliefs = [];
    this._agent = agent;
    this._agent.reset();
    this._decide();
  }

  get over() {
    return this.episode.over;
  }

  /** Take the step that was decided last, and decide on the next one. */
  advance() {
    const { x, y, choice } = this._decision;
    this.episode.step(x, y, choice);
    if (!this.over) this._decide();
  }

  _decide() {
    const { world, glimpses } = this.episode;
    this._decision = this._agent.decide(glimpses[glimpses.length - 1], world.location.x, world.location.y);
    this.beliefs.push(this._decision.probabilities);
  }
}

/** Running totals of a person and an agent in one env. */
class Score {
  constructor() {
    this.you = { episodes: 0, successes: 0 };
    this.agent = { episodes: 0, successes: 0 };
  }

  /** Count a finished episode of "you" or "agent". */
  add(player, success) {
    this[player].episodes += 1;
    this[player].successes += Number(success);
  }
}

/** One episode of a person, and of an agent beside. */
class Game {
  /**
   * @param {string} envId
   * @param {number} seed
   * @param {Score} score
   * @param {number} pace steps per second where the image moves.
   */
  constructor(envId, seed, score, pace) {
    this.envId = envId;
    this.seed = seed;
    this.score = score;
    this.pace = pace;
    this.episode = new Episode(envId, seed);
    this.gaze = { ...this.episode.world.location };
    /** True while a moving image stands still, as it does before the first start. */
    this.paused = this.episode.imageMoves;
    /** The agent's part; null until `challenge` is called. */
    this.opponent = null;
    /** Number that grows whenever the picture of the game changes. */
    this.version = 0;
    this._held = []; // keys that are held down, the latest last
    this._tappedMove = STAY;
    this._frameTime = 0;
  }

  /** "look"; "answer", no glimpse is left; "move", the image moves; or "review", the episode is over. */
  get phase() {
    if (this.episode.over) return "review";
    if (this.episode.imageMoves) return "move";
    return this.episode.glimpsesLeft ? "look" : "answer";
  }

  /** Let an agent play this episode too. */
  challenge(agent) {
    this.opponent = new Opponent(this.envId, this.seed, agent);
    this.version += 1;
  }

  /** True if the agent has to catch up: it takes a glimpse with each of the person's, and the rest after them. */
  get agentIsBehind() {
    if (!this.opponent || this.opponent.over) return false;
    return this.episode.over || this.opponent.beliefs.length < this.episode.fixations.length;
  }

  /** Let the agent take one step if it is behind. */
  advanceAgent() {
    if (!this.agentIsBehind) return;
    this.opponent.advance();
    if (this.opponent.over) this.score.add("agent", this.opponent.episode.success);
    this.version += 1;
  }

  /** Let the agent catch up at once: the game is left. */
  finishAgent() {
    while (this.agentIsBehind) this.advanceAgent();
  }

  /** Take a glimpse at the gaze. Ignored in other phases than "look". */
  look() {
    if (this.phase === "look") this._step(0);
  }

  /** Give the answer. One before the last glimpse gives up the glimpses that are left. */
  answer(label) {
    if (this.phase !== "look" && this.phase !== "answer") return;
    this.episode.answer(label);
    this._afterStep();
  }

  _step(choice) {
    this.episode.step(this.gaze.x, this.gaze.y, choice);
    this._afterStep();
  }

  _afterStep() {
    if (this.episode.over) this.score.add("you", this.episode.success);
    this.version += 1;
  }

  /** Move the gaze to a location, clipped to [-1, 1]. */
  point(x, y) {
    if (this.phase !== "look" && this.phase !== "move") return;
    const gaze = { x: Math.min(Math.max(x, -1), 1), y: Math.min(Math.max(y, -1), 1) };
    if (gaze.x === this.gaze.x && gaze.y === this.gaze.y) return;
    this.gaze = gaze;
    this.version += 1;
  }

  /** Handle a click on the image: take the glimpse, or start. */
  click() {
    if (this.phase === "move" && this.paused) this.togglePause();
    else this.look();
  }

  togglePause() {
    if (this.phase !== "move") return;
    this.paused = !this.paused;
    this.version += 1;
  }

  /**
   * Handle a pressed key: "left", "right", "up", "down", "space", "enter" or a character.
   * @returns {boolean} whether the key has a meaning now.
   */
  press(key) {
    if (this.phase === "review") return false;
    if (this.phase === "move") return this._pressInMotion(key);
    if (/^[0-9]$/.test(key) && Number(key) < this.episode.world.choiceNames.length) this.answer(Number(key));
    else if (key === "space" || key === "enter") this.look();
    else if (this._direction(key)) this._hold(key);
    else return false;
    return true;
  }

  _pressInMotion(key) {
    if (key === "p" || key === "space") this.togglePause();
    else if ((key === "." || key === "enter") && this.paused) this.advance();
    else if (key in MOVES || this._direction(key)) this._hold(key);
    else return false;
    return true;
  }

  /** Hold down a key, or a button that stands for it. A move that is only tapped is made at the next step. */
  _hold(key) {
    this.release(key);
    this._held.push(key);
    if (this.phase === "move" && key in MOVES) this._tappedMove = MOVES[key];
  }

  /** Handle a released key. */
  release(key) {
    this._held = this._held.filter((held) => held !== key);
  }

  /** Release all keys, since the page is not told when they go up, and pause a moving image. */
  loseFocus() {
    this._held = [];
    if (this.phase === "move" && !this.paused) this.togglePause();
  }

  /** Direction in which a key moves the gaze: W, A, S and D, and the arrows where these do not move a paddle. */
  _direction(key) {
    if (key in WASD) return WASD[key];
    return key in DIRECTIONS && !this.episode.imageMoves ? key : null;
  }

  /** True if the picture changes with time, without new input. */
  get isAnimated() {
    if (this.phase === "review") return false;
    return this._held.length > 0 || (this.phase === "move" && !this.paused);
  }

  /** Advance time: held keys move the gaze, and a moving image takes its next step when that is due. */
  tick(seconds) {
    for (const key of this._held) {
      const direction = this._direction(key);
      if (!direction) continue;
      const step = GAZE_SPEED * Math.min(seconds, 0.1);
      const [x, y] = DIRECTIONS[direction];
      this.point(this.gaze.x + x * step, this.gaze.y + y * step);
    }
    if (this.phase !== "move" || this.paused) return;
    this._frameTime += Math.min(seconds, 0.5);
    if (this._frameTime < 1 / this.pace) return;
    this._frameTime %= 1 / this.pace; // keeps the pace, without a burst of steps after a delay
    this.advance();
  }

  /** Advance a moving image by one step. A tapped key moves the paddle once, a held key at every step. */
  advance() {
    const held = this._held.filter((key) => key in MOVES);
    this._step(held.length ? MOVES[held[held.length - 1]] : this._tappedMove);
    this._tappedMove = STAY;
  }
}
