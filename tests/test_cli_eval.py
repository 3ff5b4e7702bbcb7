"""Command line: ``eval``, its table, scores and pictures, and damaged agents."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli_runs import RUN_FILES, WEIGHTS, change_metadata, contents, flags, read_metadata
from glimpse_gym.agents import checkpoint, load
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.folder_lock import FolderInUseError

ROWS = tuple(f"validation, {locations}" for locations in ("learned, mean", "learned, sampled", "random", "center"))


def read_table(out: str) -> dict[str, list[float]]:
    """Rows of the table: numbers in per cent, the standard error last."""
    rows = {}
    for line in out.splitlines():
        if match := re.fullmatch(r"(\w+(?:, \w+)*) {2,}((?:\d+\.\d\d +)+)± (\d+\.\d\d)", line):
            rows[match[1]] = [float(value) for value in [*match[2].split(), match[3]]]
    return rows


def test_eval_prints_a_table_and_writes_the_same_scores(cli, run_folder):
    status, out, _ = cli("eval", "--trust", run_folder)
    assert status == 0
    assert out.startswith("glimpse_gym/Images-v0: error in % after each glimpse, on 20 episodes\n")
    assert out.splitlines()[1].split() == ["split,", "locations", "1", "2", "3", "±", "s.e."]
    rows = read_table(out)
    assert tuple(rows) == ROWS
    scores = read_metadata(run_folder)["scores"]
    kinds = [(score["locations"], score["sample"]) for score in scores]
    assert kinds == [("learned", False), ("learned", True), ("random", False), ("center", False)]
    for score, row in zip(scores, rows.values(), strict=True):
        assert (score["split"], score["seed"], score["num_episodes"]) == ("validation", 0, 20)
        errors, standard_errors = np.array(score["errors"]), np.array(score["standard_errors"])
        np.testing.assert_array_equal(errors * 20, np.round(errors * 20))
        np.testing.assert_allclose(standard_errors, np.sqrt(errors * (1 - errors) / 20))
        np.testing.assert_allclose(row, 100 * np.append(errors, standard_errors[-1]), atol=0.0051)
    # The halves are learned in no time, and the rows differ.
    assert rows["validation, learned, mean"][2] < 50
    assert len({tuple(row) for row in rows.values()}) > 1


def test_eval_saves_pictures(cli, run_folder):
    _, out, _ = cli("eval", "--trust", run_folder)
    assert out.splitlines()[-2:] == [str(run_folder / "scanpaths.png"), str(run_folder / "gaze.gif")]
    with Image.open(run_folder / "scanpaths.png") as plate:
        plate.load()
        assert plate.format == "PNG"
        assert len(np.unique(np.asarray(plate.convert("L")))) > 2
    with Image.open(run_folder / "gaze.gif") as film:
        assert film.format == "GIF"
        assert film.n_frames >= 3
        film.seek(film.n_frames - 1)
        film.load()


def test_eval_changes_nothing_else(cli, run_folder):
    before, metadata = contents(run_folder), read_metadata(run_folder)
    assert cli("eval", "--trust", run_folder).status == 0
    after = contents(run_folder)
    assert after.keys() - before.keys() == {"scanpaths.png", "gaze.gif"}
    assert {name for name in before if after[name] != before[name]} == {"agent.json"}
    assert read_metadata(run_folder) | {"scores": []} == metadata


def test_eval_twice_gives_the_same(cli, run_folder):
    first = cli("eval", "--trust", run_folder)
    before = contents(run_folder)
    assert cli("eval", "--trust", run_folder).out == first.out
    assert contents(run_folder) == before


def test_eval_keeps_the_scores_of_other_splits(cli, run_folder):
    cli("eval", "--trust", run_folder)
    validation = read_metadata(run_folder)["scores"]
    cli("eval", "--trust", run_folder, "--split", "test")
    both = read_metadata(run_folder)["scores"]
    assert both[:4] == validation
    assert {score["split"] for score in both[4:]} == {"test"}
    cli("eval", "--trust", run_folder, "--num-episodes", "7", "--seed", "3")
    scores = read_metadata(run_folder)["scores"]
    assert scores[:8] == both
    assert {(score["split"], score["num_episodes"], score["seed"]) for score in scores[8:]} == {("validation", 7, 3)}


def test_eval_saves_pictures_in_another_folder(cli, run_folder, tmp_path):
    folder = tmp_path / "some" / "pictures"
    assert cli("eval", "--trust", run_folder, "--out", folder).status == 0
    assert {path.name for path in folder.iterdir()} == {"scanpaths.png", "gaze.gif"}
    assert not (run_folder / "gaze.gif").exists()
    assert len(read_metadata(run_folder)["scores"]) == 4


def test_eval_of_a_moved_folder(cli, run_folder, tmp_path):
    moved = run_folder.rename(tmp_path / "moved")
    assert cli("eval", "--trust", moved).status == 0


def damage_file(name: str, change):
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return damage


DAMAGES = {
    "no folder": (shutil.rmtree, "no pretrained agent and no folder"),
    "no metadata": (lambda folder: (folder / "agent.json").unlink(), "holds no agent"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), f"{WEIGHTS} is missing"),
    "weights cut short": (damage_file(WEIGHTS, lambda raw: raw[:-100]), f"{WEIGHTS} is damaged"),
    "weights empty": (damage_file(WEIGHTS, lambda raw: b""), f"{WEIGHTS} is damaged"),
    "weights of noise": (damage_file(WEIGHTS, lambda raw: b"\xff" * 1000), f"{WEIGHTS} is damaged"),
    "weights with a flipped bit": (damage_file(WEIGHTS, lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])), "checksum"),
    "metadata cut short": (damage_file("agent.json", lambda raw: raw[:100]), "agent.json cannot be read"),
    "metadata empty": (damage_file("agent.json", lambda raw: b""), "agent.json cannot be read"),
    "metadata of noise": (damage_file("agent.json", lambda raw: b"\xff\xfe"), "agent.json cannot be read"),
    "metadata of another program": (damage_file("agent.json", lambda raw: b'{"name": "x"}'), "of this version"),
    "metadata that is a list": (damage_file("agent.json", lambda raw: b"[1, 2]"), "of this version"),
    "metadata of an earlier format": (
        lambda folder: change_metadata(folder, format="glimpse_gym agent, format 2"),
        "0.2.0",
    ),
    "metadata of a later format": (
        lambda folder: change_metadata(folder, format="glimpse_gym agent, format 5"),
        "format",
    ),
    "unknown setting": (lambda folder: change_metadata(folder, policy_config={"depth": 3}), "depth"),
    "no settings": (lambda folder: change_metadata(folder, policy_config=None), "incomplete or damaged"),
    "unknown env": (lambda folder: change_metadata(folder, env_id="glimpse_gym/Nothing-v0"), "doesn't exist"),
    "missing images": (lambda folder: change_metadata(folder, env_kwargs={"images": "gone.npz"}), "gone.npz"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_eval_of_a_damaged_folder(cli, run_folder, name):
    damage, said = DAMAGES[name]
    damage(run_folder)
    before = contents(run_folder)
    status, out, err = cli("eval", "--trust", run_folder)
    assert (status, out) == (1, "")
    message = err.rpartition("\r")[2]  # a progress bar may come before
    assert len(message.splitlines()) == 1
    assert message.startswith("glimpse-gym eval: ")
    assert said in message
    assert "Traceback" not in err
    assert contents(run_folder) == before


TASK_SPEC = {"glimpse_shape": [1, 4, 4], "num_scales": 1, "choice_name": "label", "num_choices": 2}
TASK_SPEC["choice_is_final"] = True
SHAPES = [
    {"task_spec": TASK_SPEC | {"num_choices": 7}},
    {"task_spec": TASK_SPEC | {"glimpse_shape": [1, 5, 5]}},
    {"policy_config": vars(RAMConfig())},
]


@pytest.mark.parametrize("change", SHAPES, ids=str)
def test_eval_of_weights_of_another_shape(cli, run_folder, change):
    change_metadata(run_folder, **change)
    status, out, err = cli("eval", "--trust", run_folder)
    assert (status, out) == (1, "")
    assert err.startswith(f"glimpse-gym eval: {run_folder / WEIGHTS} does not fit the policy that agent.json describes")
    assert "Traceback" not in err


def test_eval_of_weights_of_another_agent(cli, train_arguments, run_folder, tmp_path):
    assert cli(*train_arguments(tmp_path / "other", num_episodes=20)).status == 0
    shutil.copy(tmp_path / "other" / WEIGHTS, run_folder)
    status, _, err = cli("eval", "--trust", run_folder)
    assert status == 1
    assert f"{WEIGHTS} is damaged, or does not belong to agent.json beside it" in err


WRONG_TYPES = {
    "num_choices": {"task_spec": TASK_SPEC | {"num_choices": "x"}},
    "glimpse_shape": {"task_spec": TASK_SPEC | {"glimpse_shape": 5}},
    "choice_name": {"task_spec": TASK_SPEC | {"choice_name": 5}},
    "choice_is_final": {"task_spec": TASK_SPEC | {"choice_is_final": 1}},
    "scores[0]": {"scores": [{}]},
    "env_kwargs": {"env_kwargs": [1]},
    "env_id": {"env_id": 5},
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_eval_of_metadata_with_entries_of_the_wrong_type(cli, run_folder, name):
    change_metadata(run_folder, **WRONG_TYPES[name])
    status, _, err = cli("eval", "--trust", run_folder)
    assert status == 1
    assert "agent.json" in err
    assert name in err


@pytest.mark.parametrize("values", [{"patch_size": 5}, {"num_classes": 5}, {"actions": "discrete"}], ids=str)
def test_eval_in_an_env_that_the_agent_was_not_made_for(cli, run_folder, values):
    change_metadata(run_folder, env_kwargs=read_metadata(run_folder)["env_kwargs"] | values)
    status, _, err = cli("eval", "--trust", run_folder)
    assert status == 1
    assert re.search("was made for|does not fit|hybrid", err)


def test_eval_asks_before_it_opens_files(cli, run_folder):
    images = read_metadata(run_folder)["env_kwargs"]["images"]
    before = contents(run_folder)
    refused = cli("eval", run_folder)
    assert refused.status == 1
    assert f"asks to open the file or folder {images!r} (images): permit it (--trust" in refused.message
    assert contents(run_folder) == before
    permitted = cli("eval", "--trust", run_folder)
    assert permitted.status == 0
    assert permitted.err.startswith(f"the agent in {run_folder} asks to open the file or folder {images!r} (images)")


def test_eval_asks_before_it_downloads(cli, run_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path / "empty"))
    change_metadata(run_folder, env_kwargs={"images": "fashion-mnist"})
    message = cli("eval", run_folder).message
    assert "asks to download the data set fashion-mnist (55 MB; 'glimpse-gym data fashion-mnist' does)" in message


@pytest.mark.parametrize("kind", ["in use", "cannot be written"])
def test_eval_without_saving_the_scores(cli, run_folder, tmp_path, monkeypatch, kind):
    def refuse(folder):
        raise FolderInUseError(f"{folder} is in use") if kind == "in use" else PermissionError(13, kind, str(folder))

    monkeypatch.setattr(checkpoint, "lock_folder", refuse)
    status, out, err = cli("eval", "--trust", run_folder, "--out", tmp_path / "elsewhere")
    assert status == 0
    assert tuple(read_table(out)) == ROWS
    assert re.search(rf"the scores are not saved with the agent: .*{kind}.*\n$", err)
    assert (tmp_path / "elsewhere" / "scanpaths.png").exists()


def test_eval_where_no_picture_can_be_saved(cli, run_folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, out, err = cli("eval", "--trust", run_folder, "--out", tmp_path / "file")
    assert status == 1
    assert tuple(read_table(out)) == ROWS  # the scores are not lost
    assert str(tmp_path / "file") in err
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [0, -3])
def test_eval_of_no_images(cli, run_folder, number):
    status, _, err = cli("eval", "--trust", run_folder, "--num-episodes", number)
    assert status == 1
    assert f"num_episodes must be at least 1, got {number}" in err
    assert read_metadata(run_folder)["scores"] == []


def test_train_and_eval_in_catch(cli, tmp_path):
    folder = tmp_path / "run"
    values = {"num_episodes": 40, "batch_size": 20, "minibatch_size": 10, "validation_episodes": 20, "hidden_units": 16}
    status, out, _ = cli("train", "glimpse_gym/Catch-v0", *flags(**values), "--out", folder)
    assert status == 0
    assert "after 40 episodes in " in out
    assert {path.name for path in folder.iterdir()} == RUN_FILES
    assert load(folder).task_spec.choice_name == "move"
    status, out, _ = cli("eval", "--trust", folder, "--num-episodes", 30)
    assert status == 0
    assert out.startswith("glimpse_gym/Catch-v0: error in % after each glimpse, on 30 episodes\n")
    rows = read_table(out)
    assert tuple(rows) == ROWS
    assert {len(row) for row in rows.values()} == {2}  # the ball is caught or missed at the end only
