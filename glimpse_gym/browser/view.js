// The page: texts, bars and canvases follow the game.

function element(id) {
  return document.getElementById(id);
}

/** Change the content of an element if it differs: assistive technology reads every change of a status. */
function setHTML(id, html) {
  if (element(id).dataset.html === html) return;
  element(id).dataset.html = html;
  element(id).innerHTML = html;
}

function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

function show(id, isShown) {
  element(id).hidden = !isShown;
}

/** Color the outcome in a text: true, false, or null if there is none. */
function setOutcome(id, success) {
  element(id).classList.toggle("right", success === true);
  element(id).classList.toggle("wrong", success === false);
}

/** Canvas that fits its place on the page; `unit` is one CSS pixel in canvas pixels. */
class Surface {
  constructor(id, onResize) {
    this.canvas = element(id);
    this.context = this.canvas.getContext("2d");
    this.unit = 1;
    new ResizeObserver(() => this.fit() && onResize()).observe(this.canvas);
  }

  /** Give the canvas as many pixels as the screen has there, and return whether that changed it. */
  fit() {
    const { canvas } = this;
    this.unit = Math.max(window.devicePixelRatio || 1, 1);
    const width = Math.round(canvas.clientWidth * this.unit);
    const height = Math.round(canvas.clientHeight * this.unit);
    if (!width || (width === canvas.width && height === canvas.height)) return false;
    [canvas.width, canvas.height] = [width, height];
    return true;
  }
}

/** Everything that is shown of a game. */
class View {
  /** @param {function} onResize called when a canvas must be drawn again. */
  constructor(onResize) {
    this.scene = new Surface("scene", onResize);
    this.agentScene = new Surface("agent-scene", onResize);
    this.patches = new Surface("patches", onResize);
    /** Whether the last input was a finger. */
    this.isTouch = window.matchMedia("(pointer: coarse)").matches;
    this._memory = null; // the glimpses so far, drawn once, and their key
  }

  /** Prepare the page for a new game; `agent` is its entry, if there is one. */
  begin(game, agent) {
    const { env, choiceNames } = game.episode.world;
    const isCatch = env.kind === "catch";
    show("problem", false);
    show("board", true);
    show("notes", true);
    show("agent", Boolean(agent));
    setText("agent-title", agent ? agent.name : "");
    setText("lead", describeTask(env, Boolean(agent)));
    element("scene").setAttribute("aria-label", describeScene(env));
    setText("retina-text", describeRetina(env));
    setText("agent-text", agent ? describeAgent(agent, env) : "This page has no agent for this task.");
    setText("code", makeExample(game.envId));
    const link = `<a href="#${shortId(game.envId)}/${game.seed}">This link</a>`;
    setHTML("seed-text", `${link} leads others to the same ${isCatch ? "ball" : "image"}.`);
    setHTML("keys", listKeys(env).map(([keys, meaning]) => `<dt>${keys}</dt><dd>${meaning}</dd>`).join(""));
    setText("next", isCatch ? "Next ball" : "Next image");
    setHTML("budget", "<i></i>".repeat(env.horizon));
    const bar = '<li><span class="column"><span class="fill"></span></span><span class="name"></span></li>';
    setHTML("bars", bar.repeat(choiceNames.length));
    for (const link of document.querySelectorAll("#tasks a")) {
      if (link.dataset.env === game.envId) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  /**
   * Show a game.
   * @param {Game} game
   * @param {number} step number of glimpses that a review shows.
   * @param {string} problem why there is no agent, or "".
   */
  update(game, step, problem) {
    const { episode, phase } = game;
    const isReview = phase === "review";
    const isCatch = episode.imageMoves;
    show("answers", !isCatch && !isReview);
    show("moves", isCatch && !isReview);
    show("review", isReview);
    show("agent-scene", isReview && !problem);
    show("cover", !isReview && !problem);
    show("beliefs", !problem);
    element("answers").classList.toggle("due", phase === "answer");
    element("scene").classList.toggle("still", isReview || phase === "answer");
    setText("run", !game.paused ? "Pause" : episode.world.steps ? "Continue" : "Start");
    setHTML("status", isReview ? describeResult(game) : instruct(game, this.isTouch));
    setOutcome("status", isReview ? episode.success : null);
    this._updateScores(game.score);
    this._updateAgent(game, step, problem);
    // In Catch the first frame is seen before any step.
    const shown = (isReview ? step : episode.fixations.length) - Number(isCatch);
    const taken = Math.min(shown, episode.fixations.length);
    [...element("budget").children].forEach((part, i) => part.classList.toggle("taken", i < taken));
    if (isReview) setText("step-name", `${isCatch ? "Step" : "Glimpse"} ${shown} of ${episode.world.horizon}`);
    this._draw(game, step);
  }

  _updateScores(score) {
    for (const [id, { episodes, successes }] of [
      ["your-score", score.you],
      ["agent-score", score.agent],
    ]) {
      setHTML(id, episodes ? `<b>${successes}</b> of ${episodes}` : "");
    }
  }

  /** Show how the agent is doing, without a hint for the person until the episode is over. */
  _updateAgent(game, step, problem) {
    const { opponent, phase } = game;
    const isReview = phase === "review";
    const { imageMoves } = game.episode;
    const result = opponent && opponent.over && isReview ? describeAgentResult(opponent) : "";
    setHTML("agent-status", escapeHTML(problem) || result || (isReview ? "" : describeAgentPlay(imageMoves)));
    setOutcome("agent-status", result ? opponent.episode.success : null);
    if (!opponent) {
      setText("certainty", "");
      setText("certainty-text", "Loading the agent");
      this._drawCurve([], game.episode.world.horizon);
      return;
    }
    const certainties = opponent.beliefs.map((belief) => Math.max(...belief));
    setText("certainty", percent(certainties[certainties.length - 1]));
    setText("certainty-text", imageMoves ? "sure of its next move" : "sure which digit it is");
    this._drawCurve(certainties, game.episode.world.horizon);
    this._updateBars(game, step);
  }

  /** Draw how sure the agent was after each of its glimpses so far. */
  _drawCurve(certainties, horizon) {
    const points = certainties.map((certainty, i) => `${(100 * (i + 0.5)) / horizon},${100 * (1 - certainty)}`);
    // The last point twice: a line of one point is not drawn.
    element("curve-line").setAttribute("points", [...points, points[points.length - 1]].join(" "));
    setText("axis", `after each glimpse, 1 to ${horizon}`);
  }

  /** Show the probabilities of the agent: sorted and without names, until the person has answered. */
  _updateBars({ opponent, episode, phase }, step) {
    const isReview = phase === "review";
    const { beliefs } = opponent;
    const { world, imageMoves } = episode;
    let belief = beliefs[Math.min(isReview ? step : beliefs.length, beliefs.length) - 1];
    if (!isReview) belief = Float32Array.from(belief).sort().reverse();
    [...element("bars").children].forEach((bar, i) => {
      bar.style.setProperty("--probability", belief[i].toFixed(3));
      bar.lastChild.textContent = isReview ? world.choiceNames[i] : "";
      bar.classList.toggle("true", isReview && !imageMoves && i === world.label);
    });
    setText("bars-text", isReview ? "" : `Probabilities of the ${imageMoves ? "moves" : "digits"}, sorted`);
  }

  _draw(game, step) {
    const { episode, opponent } = game;
    const isReview = game.phase === "review";
    if (!isReview) this._drawScene(game);
    else this._drawReview(this.scene, episode, step);
    if (isReview && opponent) this._drawReview(this.agentScene, opponent.episode, step);
    const glimpse = episode.glimpses[Math.min(isReview ? step : Infinity, episode.glimpses.length) - 1];
    drawPatches(this.patches, glimpse, episode.world.retina, episode.imageMoves);
  }

  _drawReview(surface, episode, step) {
    surface.fit(); // it may just have appeared
    const frame = new Frame(surface.canvas.width, episode.images[0], episode.world.retina);
    drawReview(surface.context, frame, episode, Math.min(step, episode.fixations.length), surface.unit);
  }

  /** Draw the glimpses so far, and the outlines of the patches at the gaze. */
  _drawScene(game) {
    const { episode, phase } = game;
    const { canvas, context, unit } = this.scene;
    this.scene.fit();
    const key = [episode, episode.glimpses.length, canvas.width];
    if (!this._memory || this._memory.key.some((part, i) => part !== key[i])) {
      const drawn = document.createElement("canvas");
      drawn.width = drawn.height = canvas.width;
      const frame = new Frame(canvas.width, episode.images[0], episode.world.retina);
      drawGlimpses(drawn.getContext("2d"), frame, episode);
      this._memory = { key, drawn, frame };
    }
    context.drawImage(this._memory.drawn, 0, 0);
    if (phase !== "answer") drawRetina(context, this._memory.frame, game.gaze, unit);
  }

  /** Location under a pointer event on the scene, which may be outside of the image. */
  locationOf(event, { images, world }) {
    const { canvas, unit } = this.scene;
    const { left, top } = canvas.getBoundingClientRect();
    const frame = new Frame(canvas.width, images[0], world.retina);
    return frame.toLocation(unit * (event.clientX - left), unit * (event.clientY - top));
  }
}
