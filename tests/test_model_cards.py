"""Model cards: their header as others read it, their code, and those of the agents that ship with the package."""

import re

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import example, given
from hypothesis import strategies as st

from agent_folders import change_entries, make_agent
from glimpse_gym.agents import pretrained
from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.checkpoint import CheckpointError, CheckpointMetadata, load_metadata, save_agent
from glimpse_gym.agents.configs import ClassifierConfig, DiscreteRAMConfig, RAMConfig, ScriptedConfig
from glimpse_gym.agents.model_cards import model_card, to_yaml
from glimpse_gym.agents.registry import make_policy
from runs import CATCH, SMALL_RAM

SCORE = {"locations": "learned", "sample": False, "seed": 0, "num_episodes": 200}
every_agent = pytest.mark.parametrize("name", pretrained.pretrained_names())


def score(split: str, *errors: float, **changes) -> dict:
    values = {"errors": list(errors), "standard_errors": [0.01] * len(errors)}
    return SCORE | {"split": split} | values | changes


def save(folder, config, env_id: str, spec: TaskSpec):
    save_agent(folder, make_policy(spec, config), CheckpointMetadata(env_id, {}, config, spec))
    return folder


# Characters that a card keeps: what is not printable is left out.
words = st.text(st.characters(codec="utf-8").filter(str.isprintable))
values = st.recursive(
    words | st.integers() | st.floats(-1e6, 1e6) | st.booleans(),
    lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.sampled_from("abcd"), inner, min_size=1),
)


@given(st.dictionaries(st.sampled_from("abcd"), values, min_size=1))
@example({"a": -1e-05})
def test_yaml_is_read_as_what_was_written(value):
    assert yaml.safe_load(to_yaml(value)) == value


@every_agent
def test_committed_card_is_up_to_date(name):
    path = pretrained.PRETRAINED / name / "README.md"
    hint = f"run: glimpse-gym card {name} --out agents/pretrained/{name}/README.md"
    assert path.read_text(encoding="utf-8") == model_card(name), hint


@every_agent
def test_a_hub_reads_the_header(name):
    card = ModelCard(model_card(name))
    (result,) = card.data.eval_results
    is_catch = name == "ram-catch"
    errors = [
        each["errors"][-1]
        for each in load_metadata(pretrained.PRETRAINED / name).scores
        if (each["split"], each["locations"], each["sample"]) == ("test", "learned", False)
    ]
    assert (card.data.license, card.data.library_name, card.data.model_name) == ("mit", "glimpse_gym", name)
    assert card.data.pipeline_tag == "reinforcement-learning"
    assert card.data.datasets == (None if is_catch else ["ylecun/mnist"])
    assert card.data.metrics == [result.metric_type] == ["success_rate" if is_catch else "accuracy"]
    assert result.dataset_split == "test"
    assert result.metric_value == pytest.approx(1 - sum(errors) / len(errors), abs=1e-6)


@every_agent
def test_code_of_the_card_runs(name, capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```", model_card(name), re.MULTILINE | re.DOTALL)
    exec(code, {})
    assert float(capsys.readouterr().out) >= 0.9


def test_card_of_a_run_leaves_out_paths_license_and_missing_scores(tmp_path):
    folder = make_agent(tmp_path)
    text = model_card(folder)
    assert "license" not in text
    assert str(tmp_path) not in text
    assert "images=YOUR_IMAGES" in text
    assert 'load("FOLDER")' in text
    assert not {"metrics", "model-index", "datasets"} & ModelCard(text).data.to_dict().keys()


def test_commands_of_the_card_run(tmp_path, cli):
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12), np.uint8)
    path = tmp_path / "mine.npz"
    np.savez(path, images=images, labels=np.arange(40) % 3)
    spec = TaskSpec((3, 12, 12), 3, "label", 3, choice_is_final=True)
    metadata = CheckpointMetadata("glimpse_gym/Images-v0", {"images": str(path)}, RAMConfig(**SMALL_RAM), spec)
    folder = tmp_path / "agent"
    save_agent(folder, make_policy(spec, metadata.policy_config), metadata)
    text = model_card(folder)
    assert "at the path in `agent.json`, which `--trust` lets them open:\n\n```sh\n" in text
    (block,) = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    commands = [command.replace("FOLDER", str(folder)).split()[1:] for command in block.splitlines()]
    assert [command[0] for command in commands] == ["watch", "eval"]
    commands[0] += ["--save", str(tmp_path / "a.png")]
    for command in commands:
        result = cli(*command)
        assert result.status == 0, result.err
        assert cli(*(word for word in command if word != "--trust")).status == 1


@every_agent
def test_agents_on_named_data_sets_need_no_trust(name):
    assert "--trust" not in model_card(name)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("glimpse-gym train A --out 'my runs/a' --seed 1", "glimpse-gym train A --seed 1"),
        ("glimpse-gym reproduce a --runs=b --results c", "glimpse-gym reproduce a"),
        ("glimpse-gym train A --env-arg images=b/c.npz", "glimpse-gym train A --env-arg images=YOUR_IMAGES"),
        ("glimpse-gym train A --env-arg=labels=c.npy", "glimpse-gym train A --env-arg=labels=YOUR_LABELS"),
        ("glimpse-gym train A --env-arg images=fashion-mnist", "glimpse-gym train A --env-arg images=fashion-mnist"),
    ],
)
def test_command_of_the_training_names_no_path(tmp_path, command, shown):
    folder = make_agent(tmp_path)
    change_entries(folder, command=command)
    assert f"Trained by `{shown}`." in model_card(folder)


def test_errors_are_those_of_the_test_split_or_else_of_validation(tmp_path):
    folder = make_agent(tmp_path)
    random = score("validation", 0.9, 0.8, locations="random")
    change_entries(folder, scores=[score("validation", 0.5, 0.25), random, score("test", 0.7, locations="center")])
    text = model_card(folder)
    assert ModelCard(text).data.eval_results[0].metric_value == 0.75
    assert "on 200 validation images.\n\n|  | 1 | 2 |" in text
    assert "| where the agent looks | 50.00 | 25.00 |\n| at random locations | 90.00 | 80.00 |\n\n" in text
    tests = [score("test", 0.4, 0.1, seed=seed) for seed in range(2)] + [score("test", 0.4, 0.4, seed=2)]
    change_entries(folder, scores=[random, *tests])
    text = model_card(folder)
    assert ModelCard(text).data.eval_results[0].metric_value == 0.8
    assert "on 200 test images. The first row is the mean over 3 evaluations" in text
    assert "| where the agent looks | 40.00 | 20.00 |" in text


def test_card_of_every_kind_of_policy(tmp_path):
    label, move = (TaskSpec((1, 12, 12), 1, name, 3, is_final) for name, is_final in (("label", True), ("move", False)))
    discrete = TaskSpec((1, 4, 4), 1, "choice", 3, choice_is_final=True, num_cells=9, num_glimpses=3)
    classifier = model_card(save(tmp_path / "a", ClassifierConfig(units=8), "glimpse_gym/MNIST-v0", label))
    assert "A classifier of whole images that names the class" in classifier
    assert "sees the whole image, 1 × 12 × 12" in classifier
    assert ModelCard(classifier).data.pipeline_tag == "image-classification"
    sizes = DiscreteRAMConfig(glimpse_network="fc", **SMALL_RAM)
    looks = model_card(save(tmp_path / "b", sizes, "glimpse_gym/MNISTDiscrete-v0", discrete))
    assert "with discrete actions that names the class" in looks
    assert "print(" not in looks
    scripted = model_card(save(tmp_path / "c", ScriptedConfig("chaser"), CATCH, move))
    assert "A scripted player that chooses a move per step" in scripted
    assert "It has no weights." in scripted


def test_texts_from_a_file_stay_in_their_place(tmp_path):
    folder = make_agent(tmp_path)
    nasty = "`| x |\n---\n# Title\n```\x1b[31m"
    change_entries(folder, command=nasty, training={"algorithm": nasty}, versions={"python": nasty})
    change_entries(folder, env_kwargs={"images": nasty, "first_glimpse": nasty})
    (tmp_path / "other").mkdir()
    before = model_card(make_agent(tmp_path / "other"))
    lines = model_card(folder).splitlines()
    starts = re.compile(r"#|```|---|\| ---")
    assert [line for line in lines if starts.match(line)] == [
        line for line in before.replace("| `seed` | `3` |", "").splitlines() if starts.match(line)
    ]
    assert not any("\x1b" in line for line in lines)


def test_command_prints_the_card_or_writes_it(tmp_path, cli):
    folder = make_agent(tmp_path)
    assert cli("card", str(folder)) == (0, model_card(folder), "")
    out = folder / "README.md"
    assert cli("card", str(folder), "--out", str(out)) == (0, f"{out}\n", "")
    assert out.read_text(encoding="utf-8") == model_card(folder)
    with pytest.raises(CheckpointError, match="no folder is called nobody"):
        model_card("nobody")
    result = cli("card", "nobody")
    assert result.status == 1
    assert "no folder is called nobody" in result.message
