"""The JavaScript of the page, run in Node: rules, retina and networks against those in Python, and bad input."""

import numpy as np
import pytest
import torch

from browser_episodes import PAGE_ENV_IDS, REPLAY, compare, digits, for_replay, record, run_node
from glimpse_gym.agents.checkpoint import CheckpointMetadata, load_metadata, save_agent
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.pretrained import agent_folder, pretrained_names
from glimpse_gym.agents.ram import RAM
from glimpse_gym.browser.page import build_rules
from glimpse_gym.kernels.backend import NUMPY
from glimpse_gym.retina import Retina
from glimpse_gym.rng import keys_from_seeds


@pytest.fixture(scope="module")
def rules():
    """The rules, without agents."""
    return build_rules([])


@pytest.fixture(scope="module")
def all_rules():
    return build_rules()


def replay(rules: str, run: dict) -> float:
    return compare(run, run_node(f"{rules}\n{REPLAY}\nreturn replay(input);", for_replay(run)))


# ---------------------------------------------------------------- episodes


@pytest.mark.parametrize("env_id", PAGE_ENV_IDS)
def test_worlds_are_those_of_python(rules, env_id):
    replay(rules, record(env_id))


def test_clutter_skips_the_digit_on_the_canvas(rules):
    seeds, images = np.arange(2000), digits()[0]
    draws = NUMPY.kernels.uniforms(keys_from_seeds(seeds), np.zeros(len(seeds), np.int64), 25)
    index, first_source = np.floor(draws[:, 0] * len(images)), np.floor(draws[:, 5] * (len(images) - 1))
    skipping = seeds[first_source == index][:3].tolist()
    assert len(skipping) == 3
    replay(rules, record("glimpse_gym/ClutteredMNIST-v0", seeds=skipping))


@pytest.mark.parametrize("name", pretrained_names())
def test_agents_decide_as_in_python(all_rules, name):
    difference = replay(all_rules, record(load_metadata(agent_folder(name)).env_id, name))
    assert difference > 0  # they did decide, with rounded weights


@pytest.mark.parametrize(
    ("like", "settings"),
    [
        ("ram-mnist", {"glimpse_network": "fc", "core": "relu"}),
        ("ram-mnist", {"glimpse_network": "conv", "core": "lstm", "glimpse_filters": 64, "location_units": 3}),
        ("ram-catch", {"glimpse_network": "conv", "core": "gru", "scale_gain": 1.7, "glimpse_filters": 5}),
        ("ram-cluttered60", {"glimpse_network": "conv", "core": "relu", "glimpse_units": 90, "glimpse_features": 70}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_agents_of_any_size_and_kind_decide_as_in_python(tmp_path, like, settings):
    task, config = load_metadata(agent_folder(like)), RAMConfig(**{"hidden_units": 80} | settings)
    torch.manual_seed(0)
    policy = RAM(task.task_spec, config)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=1.5 * parameter.shape[-1] ** -0.5)
    save_agent(tmp_path / "agent", policy, CheckpointMetadata(task.env_id, {}, config, task.task_spec))
    run = record(task.env_id, tmp_path / "agent", seeds=range(3))
    probabilities = np.array([answer[0][:-2] for each in run["episodes"] for answer in each["answers"]])
    assert probabilities.std(axis=0).max() > 0.01  # they depend on the glimpses
    replay(build_rules([tmp_path / "agent"]), run)


# ---------------------------------------------------------------- retina


def test_the_retina_is_that_of_python(rules):
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for _ in range(300):
        height, width, patch_size, num_scales = map(int, rng.integers(1, [50, 50, 10, 9]))
        image = rng.integers(0, 256, (height, width), np.uint8)
        # On the border, outside, and where the first pixel is on an edge of the image.
        x, y = np.float32(rng.choice([-1.5, -1, 0, 1, 1.5, rng.uniform(-1, 1)], 2)).tolist()
        size = {"height": height, "width": width, "patchSize": patch_size, "numScales": num_scales}
        cases.append(size | {"pixels": image.reshape(-1).tolist(), "x": x, "y": y})
        retina = Retina(patch_size, num_scales)
        glimpse = retina.sense(image[None], np.array([[x, y]], np.float32))[0]
        clipped = np.clip([x, y], -1, 1)
        corners = [retina.patch_corner(clipped, image.shape, scale) for scale in range(num_scales)]
        expected.append([glimpse.reshape(-1).tolist(), [{"top": top, "left": left} for top, left in corners]])
    script = """
    return input.map(({ pixels, height, width, patchSize, numScales, x, y }) => {
      const retina = new glimpse.Retina(patchSize, numScales);
      const image = { pixels: Uint8Array.from(pixels), height, width };
      const corners = Array.from({ length: numScales }, (_, scale) => retina.patchCorner(image, x, y, scale));
      return [Array.from(retina.sense(image, x, y)), corners];
    });
    """
    assert run_node(rules + script, cases) == expected


def test_the_coarsest_scale_is_that_of_python(rules):
    image = np.full((1, 2100, 2050), 255, np.uint8)
    image[0, ::2, ::3] = 7
    expected = Retina(1, 12).sense(image, np.zeros((1, 2), np.float32)).reshape(-1).tolist()
    script = """
    const image = { pixels: new Uint8Array(2100 * 2050), height: 2100, width: 2050 };
    image.pixels.forEach((_, i) => { image.pixels[i] = Math.floor(i / 2050) % 2 || (i % 2050) % 3 ? 255 : 7; });
    return Array.from(new glimpse.Retina(1, 12).sense(image, 0, 0));
    """
    assert run_node(rules + script) == expected


# ---------------------------------------------------------------- worlds and agents as objects

ERROR_OF = """
async function errorOf(action) {
  try { await action(); } catch (error) { return `${error.name}: ${error.message}`; }
  return "none";
}
"""


def test_bad_input_is_refused_and_changes_nothing(rules):
    script = """
    const world = glimpse.makeWorld("glimpse_gym/ClutteredMNIST-v0");
    const state = () => JSON.stringify(world, (_, value) => (typeof value === "bigint" ? `${value}` : value));
    const errors = [];
    const attempt = async (action) => errors.push(await errorOf(action));
    for (const act of [() => world.step({ x: 0, y: 0, choice: 0 }), () => world.image(), () => world.glimpse()]) {
      await attempt(act);
    }
    world.reset(5);
    const before = state();
    for (const seed of [-1, 0.5, 2 ** 53, -1n, 2n ** 64n, "3", null, NaN]) await attempt(() => world.reset(seed));
    for (const x of [NaN, Infinity, "0", undefined, null]) await attempt(() => world.step({ x, y: 0, choice: 0 }));
    for (const choice of [-1, 10, 0.5, undefined, "1"]) await attempt(() => world.step({ x: 0, y: 0, choice }));
    const after = state();
    while (!world.step({ x: 0, y: 0, choice: 3 }).terminated);
    await attempt(() => world.step({ x: 0, y: 0, choice: 0 }));
    await attempt(() => glimpse.makeWorld("toString"));
    return { errors, before, after };
    """
    found = run_node(rules + ERROR_OF + script)
    starts = ["Error: no episode is running", *["Error: there is no image yet: call reset() first"] * 2]
    starts += ["RangeError: a seed must be an integer from 0 to 2**64 - 1"] * 8
    starts += ["RangeError: a location must be finite"] * 5 + ["RangeError: choice must be an integer from 0 to 9"] * 5
    starts += ["Error: no episode is running", "RangeError: no env is called toString; the page has glimpse_gym/MNIST"]
    assert [error[: len(start)] for error, start in zip(found["errors"], starts, strict=True)] == starts
    assert found["before"] == found["after"]


def test_what_a_player_must_not_see_is_hidden_until_the_end(rules):
    script = """
    const world = glimpse.makeWorld("glimpse_gym/MNIST-v0");
    world.reset(5);
    const seen = [[world.label, world.prediction]];
    for (let step = 1; step <= world.horizon; step++) {
      world.step({ x: 0, y: 0, choice: 3 });
      seen.push([world.label, world.prediction]);
    }
    return { seen, index: world.imageIndex };
    """
    found = run_node(rules + script)
    assert found["seen"][:-1] == [[-1, -1]] * 7
    label, prediction = found["seen"][-1]
    assert 0 <= label <= 9
    assert prediction == 3


def test_images_are_copies(rules):
    script = """
    return ["glimpse_gym/MNIST-v0", "glimpse_gym/Catch-v0", "glimpse_gym/ClutteredMNIST-v0"].map((id) => {
      const world = glimpse.makeWorld(id);
      world.reset(0);
      const before = world.image().pixels.join();
      world.image().pixels.fill(99);
      return before === world.image().pixels.join();
    });
    """
    assert run_node(rules + script) == [True] * 3


def test_worlds_without_a_seed_differ(rules):
    script = """
    return Array.from({ length: 20 }, () => {
      const world = glimpse.makeWorld("glimpse_gym/MNIST-v0");
      world.reset();
      const first = world.imageIndex;
      world.reset();
      return [first, world.imageIndex];
    });
    """
    found = run_node(rules + script)
    assert len({tuple(pair) for pair in found}) > 15


def test_agents_of_one_name_have_states_of_their_own(all_rules):
    script = """
    const world = glimpse.makeWorld("glimpse_gym/MNIST-v0");
    world.reset(1);
    const [a, b] = [await glimpse.loadAgent("ram-mnist"), await glimpse.loadAgent("ram-mnist")];
    const { x, y } = world.location;
    const decide = (agent) => Array.from(agent.decide(world.glimpse(), x, y).probabilities);
    const answers = [decide(a), decide(a), decide(b)];
    a.reset();
    return [...answers, decide(a)];
    """
    first, second, of_other, after_reset = run_node(all_rules + script)
    assert first == of_other == after_reset != second


def test_agents_are_listed_and_unknown_ones_refused(all_rules):
    script = """
    const agent = await glimpse.loadAgent("ram-mnist");
    return {
      agents: glimpse.agents.map(({ name, envId, numWeights }) => [name, envId, numWeights]),
      errors: [
        await errorOf(() => glimpse.loadAgent("ram-nowhere")),
        await errorOf(() => agent.decide(new Float32Array(3), 0, 0)),
      ],
    };
    """
    found = run_node(all_rules + ERROR_OF + script)
    assert [name for name, _, _ in found["agents"]] == pretrained_names()
    for name, env_id, num_weights in found["agents"]:
        metadata = load_metadata(agent_folder(name))
        policy = RAM(metadata.task_spec, metadata.policy_config)
        acting = [each.numel() for key, each in policy.state_dict().items() if not key.startswith("baseline")]
        assert (env_id, num_weights) == (metadata.env_id, sum(acting))
    assert found["errors"] == [
        f"RangeError: no agent is called ram-nowhere; the page has {','.join(pretrained_names())}",
        "RangeError: ram-mnist takes glimpses of 64 values, got 3",
    ]


def test_weights_that_never_came_or_are_damaged_are_reported(all_rules):
    first, _, rest = all_rules.partition('glimpse.addWeights("ram-catch"')
    damaged = first + 'glimpse.addWeights("ram-catch", "000000a000");\nglimpse.finish();\n'
    script = """
    return [await errorOf(() => glimpse.loadAgent("ram-catch")), await errorOf(() => glimpse.loadAgent("ram-mnist"))];
    """
    assert rest
    of_damaged, of_missing = run_node(damaged + ERROR_OF + script)
    assert of_damaged.startswith("TypeError: ")
    assert of_missing == "Error: the page ends before the weights of ram-mnist: load it again"


def test_an_agent_can_be_wanted_before_its_weights_come(all_rules):
    first, mark, rest = all_rules.partition('glimpse.addWeights("ram-catch"')
    script = f"const wanted = glimpse.loadAgent('ram-translated60');\n{mark}{rest}\nreturn (await wanted).name;"
    assert run_node(first + script) == "ram-translated60"


@pytest.mark.parametrize("missing", [[], ["DecompressionStream"], ["Blob", "Response"]])
def test_what_a_browser_lacks_is_named(rules, missing):
    script = "for (const name of input) delete globalThis[name];\nreturn glimpse.missingFeatures();"
    assert run_node(rules + script, missing) == missing
