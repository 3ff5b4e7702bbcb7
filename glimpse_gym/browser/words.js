// Texts that depend on the task and on the state of a game.

const SURE = 0.9;

/** Name of an env without its namespace: "MNIST-v0" for "glimpse_gym/MNIST-v0". */
function shortId(envId) {
  return envId.slice(envId.indexOf("/") + 1);
}

/** Replace the characters that have a meaning in HTML. */
function escapeHTML(text) {
  return text.replace(/[&<]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function percent(probability) {
  return `${Math.floor(100 * probability)}%`;
}

/** Format a fraction of failures: "0.9%", "12%". */
function formatError(fraction) {
  const error = 100 * fraction;
  return `${error.toFixed(error < 9.95 ? 1 : 0)}%`;
}

function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Describe a task, for someone who has never heard of it; `hasAgent` if the page has an agent that plays it too. */
function describeTask({ kind, imageSize, canvasSize, numClutter, numScales, horizon }, hasAgent) {
  const size = `${imageSize}\u00a0×\u00a0${imageSize} pixels`;
  const near = numScales > 1 ? "sharp where you look, coarse around it" : "a small patch where you look";
  if (kind === "catch") {
    return (
      `A ball falls on a screen of ${size}. You see the screen through a retina: ${near}, nothing beyond. ` +
      `Move the paddle under the ball${hasAgent ? ", beside a trained agent that plays the same one" : ""}.`
    );
  }
  const place = canvasSize ? "at a random place on" : "on";
  const clutter = numClutter ? `, among ${numClutter} pieces of other digits` : "";
  return (
    `A digit is hidden ${place} ${size}${clutter}. You see it through a retina: ${near}, nothing beyond. ` +
    `Find out which digit it is in ${horizon} glimpses${hasAgent ? ", beside a trained agent" : ""}.`
  );
}

/** Name of the scene, for those who do not see it. */
function describeScene({ kind }) {
  if (kind === "catch") return "The screen as you have seen it. W, A, S and D move the retina.";
  return "The image as you have seen it. Arrow keys move the retina, Enter takes a glimpse.";
}

/** Describe the retina of a task. */
function describeRetina({ patchSize: g, numScales: k }) {
  const numbers = `${k * g * g} numbers on an image of any size`;
  if (k === 1) return `A glimpse is one patch of ${g} × ${g} pixels around the place you choose: ${numbers}.`;
  return (
    `A glimpse is ${k} square patches around one place. The finest has ${g} × ${g} pixels. Each of the others is ` +
    `twice as wide as the one before, averaged to the same ${g} × ${g} cells. So a glimpse is ${numbers}.`
  );
}

/** Describe an agent, an entry of `glimpse.agents`. */
function describeAgent({ name, testErrors }, { kind, horizon }) {
  const isCatch = kind === "catch";
  const training = isCatch
    ? "trained by reinforcement learning"
    : "trained with labels to name what it sees, and by reinforcement learning to choose where to look";
  const text =
    `${name} is a recurrent attention model, ${training}. From each glimpse it updates its ` +
    `memory, the probability of each ${isCatch ? "move" : "digit"}, and where to look next. `;
  const error = testErrors ? formatError(testErrors[testErrors.length - 1]) : "";
  if (isCatch) return text + (error ? `In its test it missed ${error} of the balls.` : "");
  const test = error ? `In its test ${error} of its answers after ${plural(horizon, "glimpse")} were wrong. ` : "";
  return `${text}${test}It takes all of its glimpses, also if you answer early.`;
}

/** Lines of Python that make an env. */
function makeExample(envId) {
  return [
    "import glimpse_gym",
    "import gymnasium as gym",
    "",
    `env_id = "${envId}"`,
    "env = gym.make(env_id)",
    "observation, info = env.reset()",
  ].join("\n");
}

/** Say what can be done now; `isTouch` if the last input was a finger. */
function instruct(game, isTouch) {
  const { episode, phase, paused } = game;
  const click = isTouch ? "Tap" : "Click";
  const { horizon, steps } = episode.world;
  if (phase === "answer") return "<b>No glimpse is left.</b> Which digit is it?";
  if (phase === "look") {
    const count = `<b>Glimpse ${episode.fixations.length} of ${horizon}.</b>`;
    if (isTouch) return `${count} Tap where to look next, and answer as soon as you know.`;
    const how = "Click where to look next, or use the arrows and space. Answer with 0 to 9 as soon as you know.";
    return `${count} ${how}`;
  }
  const look = isTouch ? "Look with a finger" : "Look with the mouse";
  const move = isTouch ? "the buttons" : "the left and right arrow keys";
  if (paused && steps) return `<b>Paused.</b> ${click} or press ${isTouch ? "Continue" : "space"} to go on.`;
  const start = `${click} the screen${isTouch ? "" : " or press space"} to start.`;
  if (paused) return `<b>${start}</b> ${look}, and move the paddle with ${move}.`;
  return `${look}, and move the paddle with ${move}.`; // the same at every step, since it is read aloud
}

/** Say how a person's finished episode ended, and how the agent's did if that has ended too. */
function describeResult({ episode, opponent }) {
  const { world, success, fixations, imageMoves } = episode;
  const agent = opponent && opponent.over ? ` ${compareWithAgent(success, opponent.episode)}` : "";
  if (imageMoves) return `<b>${success ? "Caught." : "Missed."}</b>${agent}`;
  const truth = world.choiceNames[world.label];
  const glimpses = `after ${plural(fixations.length, "glimpse")}`;
  const article = truth === "8" ? "an" : "a";
  if (success) return `<b>Right, it is ${article} ${truth},</b> ${glimpses}.${agent}`;
  return `<b>It is ${article} ${truth}.</b> You said ${world.choiceNames[world.prediction]}, ${glimpses}.${agent}`;
}

function compareWithAgent(success, { world, success: agentSuccess, imageMoves }) {
  const too = success === agentSuccess ? " too" : "";
  if (imageMoves) return `The agent ${agentSuccess ? "caught" : "missed"} it${too}.`;
  if (agentSuccess) return `The agent was right${too}.`;
  return `The agent was wrong${too}: it said ${world.choiceNames[world.prediction]}.`;
}

/** Say how the agent's finished episode ended. */
function describeAgentResult({ episode, beliefs }) {
  const { world, success, imageMoves } = episode;
  if (imageMoves) return success ? "<b>Caught.</b>" : "<b>Missed.</b>";
  const answer = world.choiceNames[world.prediction];
  return `<b>${success ? "Right" : "Wrong"}: ${answer}.</b> ${describeCertainty(beliefs, world.prediction)}`;
}

/** Say from which glimpse on an agent was sure of its answer. */
function describeCertainty(beliefs, answer) {
  let first = beliefs.length;
  while (first > 0 && beliefs[first - 1][answer] >= SURE) first -= 1;
  if (first === beliefs.length) return `It was ${percent(beliefs[first - 1][answer])} sure in the end.`;
  return `It was at least ${percent(SURE)} sure from glimpse ${first + 1} on.`;
}

/** Say what an agent is doing while the person plays. */
function describeAgentPlay(imageMoves) {
  if (imageMoves) return "It plays the same ball with a paddle of its own. You see its game after yours.";
  return "It has the same image and the same first glimpse, and takes a glimpse with each of yours.";
}

/** Rows of the list of keys: the keys, and what they do. */
function listKeys(env) {
  const look = [
    ["Arrows, or W A S D", "move the retina"],
    ["Space, or Enter", "take the glimpse"],
    ["0 to 9", "answer"],
  ];
  const move = [
    ["W A S D", "move the retina"],
    ["Left and right arrow", "move the paddle"],
    ["Space, or P", "start, pause and go on"],
    ["Enter, or .", "one step while paused"],
  ];
  const review = [
    ["Left and right arrow", "after the episode: step through the glimpses"],
    ["Space, Enter, or N", "after the episode: the next one"],
  ];
  return [...(env.kind === "catch" ? move : look), ...review];
}
