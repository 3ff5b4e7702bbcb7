// The page's program: one game after another, chosen by the address of the page, as in #ClutteredMNIST-v0/17.

const FIRST_TASK = "glimpse_gym/ClutteredMNIST-v0";
const NUM_SEEDS = 10000; // a visit starts at one of these
const THUMBNAIL_SEEDS = [3, 2, 18, 15, 20]; // of different digits
const REVIEW_PACE = 2.5; // glimpses per second that a review shows; faster where the image moves
const REVIEW_PACE_MOVING = 8;

/** The page with its game. */
class App {
  constructor() {
    this.view = new View(() => this._redraw());
    this.scores = {};
    this.seeds = {};
    this.pace = 4;
    this.game = null;
    this.step = 1; // glimpses that a review shows
    this._replaying = false;
    this._replayTime = 0;
    this._shown = ""; // state of the game that the page shows
    this._lastTime = null;
    this._isScheduled = false;
    this._problem = "";
  }

  /**
   * Start an episode.
   * @param {string} envId
   * @param {number} [seed] the next of this env, if not given.
   */
  start(envId, seed) {
    if (seed === undefined) seed = envId in this.seeds ? this.seeds[envId] + 1 : Math.floor(NUM_SEEDS * Math.random());
    if (this.game) this.game.finishAgent();
    this.seeds[envId] = seed;
    this.scores[envId] = this.scores[envId] || new Score();
    const agent = glimpse.agents.find((each) => each.envId === envId);
    this.game = new Game(envId, seed, this.scores[envId], this.pace);
    this._problem = "";
    this.view.begin(this.game, agent);
    history.replaceState(null, "", `#${shortId(envId)}/${seed}`);
    this._redraw();
    if (agent) this._challenge(this.game, agent.name);
  }

  async _challenge(game, name) {
    try {
      const missing = glimpse.missingFeatures();
      if (missing.length) throw new Error(`this browser lacks ${missing.join(", ")}; use a newer one`);
      const agent = await glimpse.loadAgent(name);
      game.challenge(agent);
      if (game !== this.game) game.finishAgent();
    } catch (error) {
      if (game === this.game) this._problem = `The agent cannot play: ${error.message}.`;
    }
    this._redraw();
  }

  /** Start the episode of the page's address; the first task if it names none. */
  startFromAddress() {
    const [, name, seed] = /^#(?:glimpse_gym\/)?([^/]*)(?:\/(\d{1,15}))?/.exec(location.hash) || [];
    const envId = Object.keys(glimpse.envs).find((id) => shortId(id) === name);
    const first = FIRST_TASK in glimpse.envs ? FIRST_TASK : Object.keys(glimpse.envs)[0];
    this.start(envId || first, envId && seed ? Number(seed) : undefined);
  }

  /** Leave the review. */
  next() {
    if (this.game.phase !== "review") return;
    this.start(this.game.envId);
    this.view.scene.canvas.focus({ preventScroll: true });
  }

  // ---------------------------------------------------------------- input

  pointAt(event) {
    this.view.isTouch = event.pointerType === "touch";
    if (this.game.phase === "review") return;
    const { x, y } = this.view.locationOf(event, this.game.episode);
    this._act(() => this.game.point(x, y));
  }

  click() {
    this._act(() => this.game.click());
  }

  togglePause() {
    this._act(() => this.game.togglePause());
  }

  answer(label) {
    this._act(() => this.game.answer(label));
  }

  /** Handle a pressed key, and return whether it has a meaning now. */
  press(key) {
    if (!this._isInView()) return false; // the keys scroll the page
    if (this.game.phase === "review") return this._pressInReview(key);
    return this._act(() => this.game.press(key));
  }

  _pressInReview(key) {
    if (key === "space" || key === "enter" || key === "n") this.next();
    else if (key === "left") this.showStep(this.step - 1);
    else if (key === "right") this.showStep(this.step + 1);
    else return false;
    return true;
  }

  release(key) {
    if (this.game) this.game.release(key);
  }

  loseFocus() {
    if (this.game) this._act(() => this.game.loseFocus());
  }

  setPace(pace) {
    this.pace = this.game.pace = pace;
  }

  /** Show a review up to one of its glimpses. */
  showStep(step) {
    this._replaying = false;
    this.step = Math.min(Math.max(step, 1), this._numSteps);
    this._redraw();
  }

  _isInView() {
    return this.view.scene.canvas.getBoundingClientRect().bottom > 0;
  }

  /** Change the game, and show what changed. */
  _act(change) {
    const wasOver = this.game.phase === "review";
    const result = change();
    if (!wasOver && this.game.phase === "review") this._beginReview();
    this._schedule();
    return result;
  }

  // ---------------------------------------------------------------- review

  /** Glimpses of the longer of both parts. */
  get _numSteps() {
    const { episode, opponent } = this.game;
    if (!opponent) return episode.fixations.length;
    return episode.imageMoves ? episode.fixations.length : episode.world.horizon;
  }

  _beginReview() {
    this._replaying = !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.step = this._replaying ? 1 : this._numSteps;
    this._replayTime = 0;
    this.view.update(this.game, this.step, this._problem);
    element("next").focus({ preventScroll: true });
  }

  _replay(seconds) {
    const pace = this.game.episode.imageMoves ? REVIEW_PACE_MOVING : REVIEW_PACE;
    this._replayTime += Math.min(seconds, 0.1);
    if (this._replayTime < 1 / pace) return;
    this._replayTime = 0;
    this.step = Math.min(this.step + 1, this._numSteps);
    this._replaying = this.step < this._numSteps;
  }

  // ---------------------------------------------------------------- time

  _redraw() {
    this._shown = "";
    this._schedule();
  }

  _schedule() {
    if (this._isScheduled || !this.game) return;
    this._isScheduled = true;
    requestAnimationFrame((now) => this._frame(now));
  }

  /** Show the next picture; pictures follow one another only while something moves. */
  _frame(now) {
    const { game } = this;
    const seconds = this._lastTime === null ? 0 : (now - this._lastTime) / 1000;
    this._isScheduled = false;
    this._act(() => game.tick(seconds));
    game.advanceAgent();
    if (game.phase === "review" && this._replaying) this._replay(seconds);
    const state = `${game.version} ${this.step} ${this.view.isTouch}`;
    if (state !== this._shown) {
      this._shown = state;
      this._show();
    }
    const goesOn = game.isAnimated || game.agentIsBehind || (game.phase === "review" && this._replaying);
    this._lastTime = goesOn ? now : null;
    if (goesOn) this._schedule();
  }

  _show() {
    const slider = element("step");
    slider.max = String(this._numSteps);
    slider.value = String(this.step);
    this.view.update(this.game, this.step, this._problem);
  }
}

/** Make the links to the tasks. */
function makeTasks() {
  for (const env of Object.values(glimpse.envs)) {
    const link = document.createElement("a");
    link.href = `#${shortId(env.id)}`;
    link.dataset.env = env.id;
    link.append(document.createElement("canvas"), env.title);
    element("tasks").append(link);
  }
}

/** Draw a whole image of each task beside its name. */
function drawThumbnails() {
  document.querySelectorAll("#tasks a").forEach((link, i) => {
    const world = glimpse.makeWorld(link.dataset.env);
    world.reset(THUMBNAIL_SEEDS[i % THUMBNAIL_SEEDS.length]);
    if (world.env.kind === "catch") for (let i = 0; i < 12; i++) world.step({ x: 0, y: 0, choice: STAY });
    const { pixels, width, height } = world.image();
    const drawn = grayPicture(Float32Array.from(pixels, (value) => value / 255), width, height);
    const canvas = link.querySelector("canvas");
    [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d").drawImage(drawn, 0, 0);
  });
}

function makeAnswers(app) {
  for (let label = 0; label < 10; label++) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = String(label);
    button.addEventListener("click", () => app.answer(label));
    element("answers").append(button);
  }
}

function startPage() {
  const app = new App();
  makeTasks();
  makeAnswers(app);
  listenToKeys(app);
  listenToPointer(app, app.view.scene.canvas);
  listenToHeldButton(app, element("move-left"), "left");
  listenToHeldButton(app, element("move-right"), "right");
  element("run").addEventListener("click", () => app.togglePause());
  element("next").addEventListener("click", () => app.next());
  element("pace").addEventListener("input", (event) => app.setPace(Number(event.target.value)));
  element("pace").addEventListener("pointerup", () => app.view.scene.canvas.focus()); // the arrow keys move the paddle
  element("step").addEventListener("input", (event) => app.showStep(Number(event.target.value)));
  window.addEventListener("hashchange", () => {
    app.startFromAddress();
    app.view.scene.canvas.focus({ preventScroll: true });
  });
  app.startFromAddress();
  setTimeout(drawThumbnails);
}

startPage();
