"""The builder of the page: its parts, its agents, and the ones that it refuses."""

import base64
import os
import re
import shutil
from html.parser import HTMLParser
from importlib import resources

import gymnasium as gym
import numpy as np
import pytest
import safetensors.numpy

from agent_folders import change_entries, make_agent, replace_weights
from browser_episodes import PAGE_ENV_IDS, make_env, run_node
from glimpse_gym import extras
from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.checkpoint import CheckpointError, load_metadata
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.pretrained import agent_folder, pretrained_names
from glimpse_gym.agents.ram import RAM
from glimpse_gym.browser.base85 import ALPHABET, encode_text
from glimpse_gym.browser.digits import load_digits, select_digits
from glimpse_gym.browser.env_descriptions import describe_page_envs
from glimpse_gym.browser.page import build_page, build_rules, write_page
from glimpse_gym.browser.rounding import measure_rounding
from glimpse_gym.browser.stored_agents import expected_shapes
from glimpse_gym.browser.weights import encode_weights, round_weights, rounded_tensors

MAX_PAGE_BYTES = 7_700_000


@pytest.fixture
def agent(tmp_path):
    """A copy of a pretrained agent, free to be changed."""
    return shutil.copytree(agent_folder("ram-mnist"), tmp_path / "my-agent")


class Elements(HTMLParser):
    """Lists elements, and the addresses that a browser reads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "a":
            self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]


def elements_of(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


# ---------------------------------------------------------------- the page


def test_the_page_holds_everything_and_needs_no_other_file():
    page = build_page()
    assert len(page.encode()) < MAX_PAGE_BYTES
    assert not re.search(r"<!-- (style|icon|logo|documentation|scripts) -->", page)
    elements, without_agents = elements_of(page), elements_of(build_page([]))
    assert elements.tags.count("style") == 1
    assert elements.tags.count("script") == without_agents.tags.count("script") + len(pretrained_names())
    assert not [each for each in elements.addresses if not each.startswith(("#", "data:"))]
    assert not re.search(r"@import|url\((?!data:)|import\(|fetch\(|XMLHttpRequest|WebSocket", page)
    # The page is shown before the weights are read.
    assert page.index("globalThis.glimpse") < page.index("glimpse.addWeights(")


def test_the_page_is_written_as_it_is_built(tmp_path):
    path = write_page(tmp_path / "play.html", ["ram-mnist"])
    assert path.read_text(encoding="utf-8") == build_page(["ram-mnist"])
    assert os.listdir(tmp_path) == ["play.html"]
    with pytest.raises(OSError, match=re.escape(str(tmp_path / "nowhere"))):
        write_page(tmp_path / "nowhere" / "play.html", [])


def test_a_page_that_cannot_be_built_leaves_the_old_one(tmp_path, agent):
    path = tmp_path / "play.html"
    path.write_text("old")
    with pytest.raises(CheckpointError):
        write_page(path, ["ram-nowhere"])
    assert path.read_text() == "old"


def test_envs_are_described_as_they_are_registered():
    described = describe_page_envs(*load_digits())
    assert list(described) == PAGE_ENV_IDS
    for env_id, found in described.items():
        env = make_env(env_id)
        metadata, kwargs = env.metadata, gym.spec(env_id).kwargs
        assert found["id"] == env_id
        assert (found["kind"] == "catch") == metadata["image_moves"]
        assert (found["patchSize"], found["numScales"]) == (metadata["patch_size"], metadata["num_scales"])
        assert (found["horizon"], found["choiceNames"]) == (metadata["num_glimpses"], metadata["choice_names"])
        assert metadata["image_size"] == (found["imageSize"], found["imageSize"])
        assert found["canvasSize"] == kwargs.get("canvas_size")
        assert found["numClutter"] == kwargs.get("num_clutter", 0)
        assert found["clutterSize"] == (8 if found["canvasSize"] else 0)  # the default


def test_digits_are_the_first_of_each_class_of_the_test_split():
    images, labels = load_digits()
    assert images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [50] * 10
    for stored, selected in zip((images, labels), select_digits(), strict=True):
        assert np.array_equal(stored, selected)


def test_a_missing_package_is_named_and_others_are_not_needed(monkeypatch):
    missing = {"torch", "matplotlib", "tensorboard"}
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in missing else name)
    assert build_page(["ram-catch"])
    missing.add("safetensors")
    with pytest.raises(
        ModuleNotFoundError, match=r"^safetensors is not installed: pip install 'glimpse_gym\[browser\]'"
    ):
        build_page()


def test_the_logo_is_in_the_head_and_in_the_icon():
    page = build_page([])
    logo = resources.files("glimpse_gym.browser").joinpath("logo.svg").read_bytes()
    icon = re.search(r'<link rel="icon" href="data:image/svg\+xml;base64,([^"]+)">', page)
    assert icon
    assert base64.b64decode(icon[1]) == logo
    assert page.count(logo.decode().strip()) == 1


# ---------------------------------------------------------------- text and weights


def decode_text(text: str) -> bytes:
    words = [text[i : i + 5] for i in range(0, len(text), 5)]
    numbers = [sum(ALPHABET.index(c) * 85 ** (4 - i) for i, c in enumerate(word)) for word in words]
    return b"".join(number.to_bytes(4, "big") for number in numbers[1:])[: numbers[0]]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 1000])
def test_text_can_be_decoded(length):
    for content in (np.random.default_rng(length).bytes(length), b"\xff" * length, b"\0" * length):
        assert decode_text(encode_text(content)) == content


def test_the_alphabet_has_85_harmless_characters():
    assert len(set(ALPHABET)) == len(ALPHABET) == 85
    assert not set(ALPHABET) & set("\"'`\\<>&$! ")


def test_rounding_is_fine_in_every_row():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(100, 60)).astype(np.float32) * np.logspace(-6, 3, 100, dtype=np.float32)[:, None]
    weights[3], weights[4, 5] = 0.0, 1e6  # a row of zeros, and one with an outlier
    rounded = round_weights(weights)
    assert rounded.integers.dtype == np.int16
    errors, deviations = np.abs(rounded.values - weights), np.sqrt(np.mean(weights**2, axis=1))
    assert (errors.max(axis=1) <= 1.01 * rounded.factors / 2).all()
    ordinary = np.arange(100) != 4
    assert (errors.max(axis=1) <= 6e-5 * deviations)[ordinary].all()
    assert rounded.values[3].tolist() == [0.0] * 60
    assert errors[4, 5] < 1.0


def test_small_tensors_are_not_rounded():
    tensors = {"small": np.full((4, 5), 0.1234567, np.float32), "vector": np.ones(5000, np.float32)}
    tensors["large"] = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    found = rounded_tensors(tensors)
    assert [np.array_equal(found[name], tensors[name]) for name in tensors] == [True, True, False]
    assert len(encode_weights(tensors)) < sum(each.nbytes for each in tensors.values())


def test_rounding_changes_little():
    effect = measure_rounding("ram-mnist", num_episodes=200)
    assert effect.num_episodes == 200
    assert 0 < effect.difference < 1e-3
    assert abs(effect.error - effect.rounded_error) <= 0.01


# ---------------------------------------------------------------- agents


@pytest.mark.parametrize("network", ["fc", "conv"])
@pytest.mark.parametrize("core", ["relu", "gru", "lstm"])
@pytest.mark.parametrize("size", [1, 6, 8, 13])
def test_shapes_are_those_of_the_policy(network, core, size):
    config = RAMConfig(glimpse_network=network, core=core, glimpse_filters=7, glimpse_units=5, location_units=4)
    spec = TaskSpec((3, size, size), 3, "label", 10, choice_is_final=True)
    state = RAM(spec, config).state_dict()
    shapes = {name: tuple(each.shape) for name, each in state.items() if not name.startswith("baseline")}
    assert expected_shapes(config, (3, size, size), 10) == shapes


def test_agents_of_training_runs_are_named_for_their_folder(agent):
    odd = agent.rename(agent.with_name('"<script> <!--'))
    assert run_node(build_rules([odd]) + "return glimpse.agents[0].name;") == odd.name
    assert elements_of(build_page([odd])).tags == elements_of(build_page(["ram-mnist"])).tags


def test_agents_without_tests_have_no_errors(agent):
    change_entries(agent, scores=[])
    assert run_node(build_rules([agent]) + "return glimpse.agents.map((a) => a.testErrors);") == [None]


def test_test_errors_are_means_over_the_seeds():
    script = "return glimpse.agents.map((a) => a.testErrors);"
    for name, found in zip(pretrained_names(), run_node(build_rules() + script), strict=True):
        scores = [score for score in load_metadata(agent_folder(name)).scores if score["split"] == "test"]
        learned = [each["errors"] for each in scores if each["locations"] == "learned" and not each["sample"]]
        assert learned
        assert found == pytest.approx(np.mean(learned, axis=0).tolist())


def test_test_errors_of_another_length_are_left_out(agent):
    score = {"split": "test", "locations": "learned", "sample": False}
    change_entries(agent, scores=[score | {"errors": errors} for errors in ([0.5, 0.2], [0.1], [0.3, 0.4])])
    (errors,) = run_node(build_rules([agent]) + "return glimpse.agents.map((a) => a.testErrors);")
    assert errors == pytest.approx([0.4, 0.3])


ACCEPTED = "the page runs agents of the kind 'ram' with learned locations that act in one of glimpse_gym/MNIST-v0, "


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"policy": "classifier", "policy_config": {}}, "is of the kind 'classifier'"),
        ({"policy": "discrete-ram", "policy_config": {}}, "is of the kind 'discrete-ram'"),
        ({"policy_config": {"location_policy": "raster"}}, "is of the kind 'ram' with location_policy='raster'"),
        ({"env_id": "glimpse_gym/Images-v0"}, "acts in 'glimpse_gym/Images-v0', which the page does not have"),
        (
            {"env_kwargs": {"num_glimpses": 3}},
            "acts in glimpse_gym/MNIST-v0 with the settings {'num_glimpses': 3}, and the page has it without",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_agents_that_the_page_cannot_run_are_refused(agent, changes, reason):
    change_entries(agent, **changes)
    with pytest.raises(ValueError, match=re.escape(f"the agent in {agent} {reason}: {ACCEPTED}")):
        build_rules([agent])


def test_an_agent_of_other_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="acts in 'glimpse_gym/Images-v0', which the page does not have"):
        build_page([make_agent(tmp_path)])


def test_the_first_agent_of_each_env_is_stored(agent):
    page = build_page([agent, "ram-catch", "ram-mnist"])
    assert re.findall(r'"name": "([^"]+)", "envId"', page) == ["my-agent", "ram-catch"]
    assert page.count("glimpse.addWeights(") == 2


def test_agents_of_one_name_are_refused_unless_they_play_one_env(agent):
    twin = shutil.copytree(agent, agent.parent / "runs" / agent.name)
    assert build_rules([agent, twin]) == build_rules([agent])
    other = shutil.copytree(agent_folder("ram-catch"), agent.parent / "catch" / agent.name)
    with pytest.raises(ValueError, match=r"must have different names, got \['my-agent', 'my-agent'\]; rename a folder"):
        build_page([agent, other])


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": "ram2"},
        {"policy": ["ram"]},
        {"policy_config": {"hidden_units": 0}},
        {"policy_config": []},
        {"env_id": ["glimpse_gym/MNIST-v0"]},
        {"env_kwargs": None},
        {"task_spec": {}},
        {"task_spec": {"glimpse_shape": [2, 8, 8], "num_choices": 10}},
        {"task_spec": {"glimpse_shape": [1, 8, 8], "num_choices": 11}},
        {"task_spec": {"glimpse_shape": 8, "num_choices": 10}},
        {"weights_checksum": None},
        {"scores": None},
        {"scores": ["high"]},
        {"scores": [{"split": "test", "locations": "learned", "sample": False, "errors": ["high"]}]},
    ],
    ids=str,
)
def test_damaged_metadata_is_refused(agent, changes):
    change_entries(agent, **changes)
    with pytest.raises(CheckpointError, match=re.escape(str(agent / "agent.json")) + r" is (incomplete or )?damaged"):
        build_rules([agent])


def changed_weights(agent, change):
    tensors = safetensors.numpy.load_file(agent / "weights.safetensors")
    change(tensors)
    replace_weights(agent, safetensors.numpy.save(tensors))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("location_network.mean.bias"),
        lambda tensors: tensors.update({"location_network.mean.bias": np.zeros(3, np.float32)}),
        lambda tensors: tensors.update({"location_network.mean.bias": np.zeros(2, np.float64)}),
        lambda tensors: tensors.update({"location_network.mean.bias": np.array([0, np.nan], np.float32)}),
    ],
    ids=["missing", "shape", "dtype", "nan"],
)
def test_weights_that_do_not_fit_are_refused(agent, change):
    changed_weights(agent, change)
    reason = r"does not fit agent\.json beside it: location_network\.mean\.bias must be finite float32 of shape \(2,\)"
    with pytest.raises(CheckpointError, match=reason):
        build_rules([agent])


def test_files_that_are_missing_or_damaged_are_refused(agent, one_attempt):
    with pytest.raises(CheckpointError, match="no pretrained agent and no folder is called ram-nowhere; pretrained"):
        build_rules(["ram-nowhere"])
    replace_weights(agent, b"not safetensors")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors cannot be read"):
        build_rules([agent])
    (agent / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="its checksum does not match"):
        build_rules([agent])
    (agent / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is missing"):
        build_rules([agent])
    (agent / "agent.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds no agent: agent\.json is missing"):
        build_rules([agent])
