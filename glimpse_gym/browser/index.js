// The interface of the rules, globalThis.glimpse. DATA is from glimpse_gym/browser/page.py.

const digits = readDigits(DATA.digits, DATA.alphabet);
const weights = Object.fromEntries(DATA.agents.map(({ name }) => [name, deferred()])); // as text
const tensors = {}; // by name of the agent: promises of its weights

/** Make a promise, and the functions that settle it. */
function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  parts.promise.catch(() => {}); // reported where the agent is wanted
  return parts;
}

/**
 * Take the weights of an agent. They come in scripts of their own at the end of the page, so that it can be used before
 * all of them have been loaded.
 */
function addWeights(name, text) {
  weights[name].resolve(text);
}

/** Fail the agents whose weights have not come. Called at the end of the page. */
function finish() {
  for (const [name, { reject }] of Object.entries(weights)) {
    reject(new Error(`the page ends before the weights of ${name}: load it again`));
  }
}

function entryOf(name) {
  const entry = DATA.agents.find((each) => each.name === name);
  if (!entry) throw new RangeError(`no agent is called ${name}; the page has ${glimpse.agents.map((a) => a.name)}`);
  return entry;
}

/**
 * Load an agent. Its weights are decoded when it is first wanted; each call returns an agent with a state of its own.
 * @param {string} name of an entry of `agents`.
 * @returns {Promise<Agent>} rejected if there is no such agent, or its weights cannot be read.
 */
async function loadAgent(name) {
  const entry = entryOf(name);
  tensors[name] ??= weights[name].promise.then((text) => readWeights(entry.layout, bytesFromText(text, DATA.alphabet)));
  return new Agent(entry, await tensors[name]);
}

/**
 * Make the world of an env.
 * @param {string} envId a key of `envs`.
 * @returns {ClassificationWorld|CatchWorld} call reset() first.
 * @throws {RangeError} if the page does not have it.
 */
function makeWorld(envId) {
  const env = Object.hasOwn(DATA.envs, envId) ? DATA.envs[envId] : null;
  if (!env) throw new RangeError(`no env is called ${envId}; the page has ${Object.keys(DATA.envs)}`);
  return env.kind === "catch" ? new CatchWorld(env) : new ClassificationWorld(env, digits);
}

/**
 * List what this browser lacks to run agents; worlds and the retina need none of it.
 * @returns {string[]} names such as "DecompressionStream"; empty if nothing is missing.
 */
function missingFeatures() {
  return ["Blob", "DecompressionStream", "Response"].filter((name) => typeof globalThis[name] === "undefined");
}

const glimpse = Object.freeze({
  Retina,
  makeWorld,
  loadAgent,
  missingFeatures,
  addWeights,
  finish,
  /**
   * Envs by id: {id, title, kind: "classification" | "catch", patchSize, numScales, horizon, choiceNames, imageSize,
   * canvasSize, numClutter, clutterSize}. Images are squares of imageSize pixels; canvasSize is null without a canvas.
   */
  envs: DATA.envs,
  /**
   * Agents: [{name, envId, numWeights, testErrors}]. testErrors: fraction of wrong labels after each glimpse, or
   * [fraction of failures], in Python with unrounded weights; null if the agent was not tested.
   */
  agents: DATA.agents.map(({ name, envId, numWeights, testErrors }) => ({ name, envId, numWeights, testErrors })),
});
globalThis.glimpse = glimpse;
