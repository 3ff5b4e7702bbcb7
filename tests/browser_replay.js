// Replays episodes with the rules and the agents of the page; browser_episodes.py records and compares them.

/** Encode the bytes of a typed array as base64. */
function toBase64(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** Describe what a player, and a spectator, sees of a world. */
function describe(world) {
  const { location, time, steps, running, label, prediction, imageIndex, ball, paddle, caught } = world;
  const { pixels, height, width } = world.image();
  const seen = { glimpse: toBase64(world.glimpse()), x: location.x, y: location.y, time, steps, running };
  return { ...seen, image: toBase64(pixels), height, width, label, prediction, imageIndex, ball, paddle, caught };
}

/**
 * Replay episodes in one world. All actions are given; an agent only says what it would do.
 * @param {{env_id: string, agent: ?string, episodes: Array<{seed: ?string, actions: number[][]}>}} run
 * @returns {Promise<Object[][]>} of each episode, each state with the step that led to it and the agent's decision.
 */
async function replay({ env_id, agent, episodes }) {
  const world = glimpse.makeWorld(env_id);
  const player = agent ? await glimpse.loadAgent(agent) : null;
  return episodes.map(({ seed, actions }) => {
    world.reset(seed === null ? undefined : BigInt(seed));
    if (player) player.reset();
    const states = [describe(world)];
    for (const [x, y, choice] of actions) {
      if (player) {
        const decision = player.decide(world.glimpse(), world.location.x, world.location.y);
        states.at(-1).decision = { ...decision, probabilities: Array.from(decision.probabilities) };
      }
      const outcome = world.step({ x, y, choice });
      states.push({ ...describe(world), outcome });
    }
    return states;
  });
}
