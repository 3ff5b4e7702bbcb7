"""Files of results."""

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest

from damaged_files import accepted_bit_flips, nested, put, rewrite
from glimpse_gym.agents.experiments import result_files
from glimpse_gym.agents.experiments.recipes import load_recipe
from glimpse_gym.agents.experiments.report import write_report
from glimpse_gym.agents.experiments.result_files import ResultError, load_results, save_result
from glimpse_gym.safe_io import read_checksummed_json, write_checksummed_json
from hand_made_results import make_result, make_score

MAX = "1,000,000,000,000,000"
NAN, INFINITY = float("nan"), float("inf")


def small_result(**changes):
    """A result with an entry of each kind."""
    values = {"scores": [make_score("validation", [0.2, 0.1]), make_score("test", [0.3, 0.2])]}
    generalization = [{"env_kwargs": {"num_clutter": 4}, "score": make_score("test", [0.4])}]
    settings = {"env_kwargs": {"zoom": [0.5, 1]}, "training": {"augmentation": {"shift": [-1, 1]}, "seed": 0}}
    values |= settings | {"generalization": generalization, "gaze_distances": [2.5, 1.0]}
    return make_result("ram-mine", **values | changes)


def test_saved_result_is_loaded_unchanged(tmp_path):
    result = small_result(seed=3)
    path = save_result(tmp_path / "new" / "folder", result)
    assert path == tmp_path / "new" / "folder" / "ram-mine-seed3.json"
    assert load_results(path.parent) == [result]
    assert list(path.parent.iterdir()) == [path]
    entries = json.loads(path.read_text())
    assert list(entries) == ["format", *(field.name for field in dataclasses.fields(result)), "checksum"]
    assert entries["format"] == "glimpse_gym result, format 3"


def test_saving_a_result_replaces_the_file(tmp_path):
    save_result(tmp_path, small_result(training_seconds=1.5))
    path = save_result(tmp_path / "." / "", small_result())
    assert load_results(tmp_path) == [small_result()]
    assert list(tmp_path.iterdir()) == [path]


def test_result_of_a_scripted_player_is_loaded_unchanged(tmp_path):
    empty = {"training": {}, "history": [], "generalization": [], "gaze_distances": None}
    zero = dict.fromkeys(("num_parameters", "num_episodes", "num_frames", "training_seconds"), 0)
    result = small_result(**empty, **zero)
    save_result(tmp_path, result)
    assert load_results(tmp_path) == [result]


def test_results_are_sorted_by_file_name(tmp_path):
    found = [small_result(seed=1), small_result(seed=0), dataclasses.replace(small_result(), recipe="a")]
    for result in found:
        save_result(tmp_path, result)
    (tmp_path / "notes.txt").write_text("not read")
    assert load_results(tmp_path) == [found[2], found[1], found[0]]


def test_committed_results_are_of_recipes_and_in_files_of_their_names():
    folder = Path(__file__).parent.parent / "results"
    results = load_results(folder)
    assert [f"{r.recipe}-seed{r.seed}.json" for r in results] == sorted(
        path.name for path in folder.iterdir() if path.is_file()
    )
    for result in results:
        recipe = load_recipe(result.recipe)
        assert (result.model, result.task, result.env_id) == (recipe.model, recipe.task, recipe.env_id)
        assert result.settings.keys() == recipe.settings.keys()
        assert [entry["env_kwargs"] for entry in result.generalization] == list(recipe.generalization_envs)


# ------------------------------------------------------------------------------------------ folders and names


@pytest.mark.parametrize("exists", [True, False])
def test_folder_without_results_is_an_error_that_says_how_to_make_them(tmp_path, exists):
    folder = tmp_path if exists else tmp_path / "nowhere"
    message = f"{folder} holds no results: make them with 'glimpse-gym reproduce'"
    with pytest.raises(ResultError, match=re.escape(message)):
        load_results(folder)


def test_temporary_files_of_a_killed_writer_are_no_results(tmp_path):
    path = save_result(tmp_path, small_result())
    for leftover in (path.read_text(), path.read_text()[:100]):
        (tmp_path / ".ram-mine-seed0-01234567.json").write_text(leftover)
        assert load_results(tmp_path) == [small_result()]


def test_renamed_file(tmp_path):
    path = save_result(tmp_path, small_result())
    path.rename(tmp_path / "ram-mine-seed7.json")
    with pytest.raises(ResultError, match=r"seed7\.json holds the run of ram-mine-seed0\.json: rename it"):
        load_results(tmp_path)


def test_two_files_with_the_same_result(tmp_path):
    path = save_result(tmp_path, small_result())
    (tmp_path / "ram-mine-seed0 (copy).json").write_bytes(path.read_bytes())
    message = (
        r"\(copy\)\.json holds the run of ram-mine-seed0\.json, as ram-mine-seed0\.json beside it does: remove one"
    )
    with pytest.raises(ResultError, match=message):
        load_results(tmp_path)


def test_results_of_one_recipe_must_have_equal_numbers_of_errors(tmp_path):
    first = save_result(tmp_path, small_result())
    second = save_result(tmp_path, small_result(seed=1, scores=[make_score("test", [0.1])]))
    with pytest.raises(ResultError, match=re.escape(f"{first} and {second} have different numbers of errors")):
        load_results(tmp_path)


def test_results_of_one_recipe_must_have_equal_settings(tmp_path):
    first = save_result(tmp_path, small_result(training={"learning_rate": 0.1, "batch_size": 8, "seed": 0}))
    second = save_result(tmp_path, small_result(seed=1, training={"learning_rate": 0.2, "schedule": "cosine"}))
    message = (
        f"{first} and {second} are of two versions of a recipe, so that no mean can be taken: {second.name} has "
        f"batch_size = None ({first.name}: 8), learning_rate = 0.2 ({first.name}: 0.1), "
        f"schedule = cosine ({first.name}: None); run the older one again, or remove it"
    )
    with pytest.raises(ResultError, match=re.escape(message)):
        load_results(tmp_path)


def test_seeds_and_numbers_of_evaluations_of_one_recipe_may_differ(tmp_path):
    for seed in range(2):
        save_result(tmp_path, small_result(seed=seed, training={"seed": seed, "num_evaluations": 10 + seed}))
    save_result(tmp_path, dataclasses.replace(small_result(training={"learning_rate": 0.3}), recipe="ram-other"))
    assert len(load_results(tmp_path)) == 3


# ------------------------------------------------------------------------------------------ files that are no results


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "error: 3.2 %", '{"format": ', b"\xff\xfe\x00\x80" * 100),
        *(nested(100_000), '{"seed": ' + "1" * 5000 + "}"),
    ],
    ids=lambda content: str(content[:10]),
)
def test_file_that_cannot_be_read(tmp_path, content):
    save_result(tmp_path, small_result())
    path = tmp_path / "broken.json"
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    with pytest.raises(ResultError, match=re.escape(f"{path} cannot be read")):
        load_results(tmp_path)
    with pytest.raises(ResultError, match=re.escape(f"{path} cannot be read")):
        write_report(tmp_path, tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "ram-mnist-seed0.json").mkdir()
    with pytest.raises(ResultError, match=r"ram-mnist-seed0\.json cannot be read .* is a folder"):
        load_results(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_fifo_in_the_place_of_a_file(tmp_path):
    os.mkfifo(tmp_path / "ram-mnist-seed0.json")
    with pytest.raises(ResultError, match=r"ram-mnist-seed0\.json cannot be read .* is not a regular file"):
        load_results(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        *("{}", "[]", "1", "null", '[{"format": "glimpse_gym result, format 3"}]', nested(40)),
        *('{"format": "glimpse_gym agent, format 3"}', '{"format": [["glimpse_gym result, format 3"]]}'),
        *('{"format": {"a": []}}', '{"format": "glimpse_gym result, format 0"}', '{"format": NaN}'),
    ],
    ids=lambda content: content[:45],
)
def test_json_file_that_is_no_result(tmp_path, content):
    (tmp_path / "other.json").write_text(content)
    message = r"other\.json is not a result file of this version: its format must be 'glimpse_gym result, format 3'"
    with pytest.raises(ResultError, match=message):
        load_results(tmp_path)


@pytest.mark.parametrize(("number", "version"), [(1, "0.2.0"), (2, "0.4.0")])
def test_old_format_is_an_error_that_names_the_version_to_use(tmp_path, number, version):
    path = save_result(tmp_path, small_result())
    path.write_text(path.read_text().replace("result, format 3", f"result, format {number}"))
    message = (
        f"{path} is in an old format ('glimpse_gym result, format {number}'): use glimpse_gym {version} to read it"
    )
    with pytest.raises(ResultError, match=re.escape(message)):
        load_results(tmp_path)


# ------------------------------------------------------------------------------------------ checksum


def test_every_flipped_bit_of_a_result_is_noticed(tmp_path):
    short = {"history": [], "generalization": [], "training": {}, "machine": "", "model": "", "env_kwargs": {}}
    result = small_result(scores=[make_score("test", [0.5])], **short)
    path = save_result(tmp_path, result)
    write_checksummed_json(path, read_checksummed_json(path).entries, indent=None)  # fewer bits
    assert accepted_bit_flips(path, result_files._load, ResultError) == []
    assert load_results(tmp_path) == [result]


@pytest.mark.parametrize("with_checksum", [False, True])
def test_result_that_was_changed_by_hand_is_refused(tmp_path, with_checksum):
    path = save_result(tmp_path, small_result())
    entries = json.loads(path.read_text())
    entries["scores"][0]["errors"][0] = 0.1
    if not with_checksum:
        del entries["checksum"]
    path.write_text(json.dumps(entries, indent=1) + "\n")
    message = f"{path} is damaged, or was changed by hand: its checksum does not match; restore it, or run its recipe"
    with pytest.raises(ResultError, match=re.escape(message)):
        load_results(tmp_path)


# ------------------------------------------------------------------------------------------ wrong structure

SCORE = make_score("test", [0.1, 0.1])
BAD_VALUES = [
    (("recipe",), True, "recipe must be a name of at most 80 letters, digits, - and _"),
    (("recipe",), "../../x", "that begins with a letter or digit, got '../../x'"),
    (("recipe",), "a" * 81, "recipe must be a name of at most 80 letters"),
    (("task",), "a | b", "task must be a name"),
    (("task",), None, "task must be a name"),
    (("model",), "a | b", "model must be one line of at most 1,000 printable characters without | ` < > [ ] $, got"),
    (("model",), "<script>", "model must be one line"),
    (("model",), "$\\x$", "model must be one line"),
    (("model",), ["a"], "model must be one line"),
    (("machine",), "![](x)", "machine must be one line"),
    (("machine",), "\ud800", "machine must be one line"),
    (("seed",), -1, f"seed must be an integer from 0 to {10**15}, got -1"),
    (("seed",), False, f"seed must be an integer from 0 to {10**15}, got False"),
    (("seed",), 10**400, f"seed must be an integer from 0 to {10**15}, got 1000"),
    (("env_id",), "../a", "env_id must be the id of an env, such as 'glimpse_gym/MNIST-v0', got '../a'"),
    (("env_id",), 0, "env_id must be the id of an env"),
    (("values_per_glimpse",), 0, f"values_per_glimpse must be an integer from 1 to {10**15}, got 0"),
    (("num_parameters",), "1", f"num_parameters must be an integer from 0 to {10**15}, got '1'"),
    (("num_frames",), INFINITY, f"num_frames must be an integer from 0 to {10**15}, got inf"),
    (("training_seconds",), NAN, f"training_seconds must be a number from 0 to {MAX}, got nan"),
    (("training_seconds",), 1e300, f"training_seconds must be a number from 0 to {MAX}, got 1e+300"),
    (("env_kwargs",), [], "env_kwargs must be a dict of at most 10,000 entries, got []"),
    (("env_kwargs",), {"a b": 1}, "a setting of env_kwargs must be a name"),
    (("env_kwargs", "zoom"), {"a": 1}, "env_kwargs.zoom must be a number from"),
    (("env_kwargs", "zoom"), [1, [2]], "env_kwargs.zoom[1] must be a number from"),
    (("env_kwargs", "zoom"), NAN, "env_kwargs.zoom must be a number from"),
    (("policy_config",), "none", "policy_config must be a dict"),
    (("policy_config",), {"core": "`x`"}, "policy_config.core must be one line"),
    (("training",), None, "training must be a dict"),
    (("training", "augmentation"), 5, "training.augmentation must be a dict"),
    (("training", "augmentation", "shift"), 5, "training.augmentation.shift must be two numbers [low, high], got 5"),
    (("training", "augmentation", "shift"), [1, -1], "training.augmentation.shift must be two numbers"),
    (("training", "augmentation", "shift"), [1, "2"], "training.augmentation.shift[1] must be a number"),
    (("training", "other"), {"shift": [1, 2]}, "training.other must be a number from"),
    (("versions",), {"torch": "2"}, "versions lacks the packages ['glimpse_gym']"),
    (("versions", "numpy"), 2, "versions.numpy must be one line"),
    (("scores",), {}, "scores must be a list of at most 10,000 items, got {}"),
    (("scores",), [], "scores must include one at learned locations without sampling"),
    (("scores",), [0.5], "scores[0] must be a dict, got 0.5"),
    (("scores",), [{}], "scores[0] lacks the entries ['errors', 'locations'"),
    (("scores", 0, "error"), 0.5, "scores[0] has the unknown entries ['error']"),
    (("scores", 1, "split"), "all", "scores[1].split must be one of 'train', 'validation', 'test'; got 'all'"),
    (("scores", 1, "locations"), None, "scores[1].locations must be one of 'learned', 'random', 'center'; got None"),
    (("scores", 1, "sample"), INFINITY, "scores[1].sample must be True or False, got inf"),
    (("scores", 1, "sample"), 0, "scores[1].sample must be True or False, got 0"),
    (("scores", 1, "num_episodes"), 0, f"scores[1].num_episodes must be an integer from 1 to {10**15}, got 0"),
    (("scores", 1, "errors"), "0.5", "scores[1].errors must be a list"),
    (
        ("scores", 1, "errors"),
        [],
        "scores[1].errors and scores[1].standard_errors must have the same length",
    ),
    (("scores", 1, "errors"), [0.1] * 3, "must have the same length, at least 1, got 3 and 2"),
    (("scores", 1, "errors", 0), NAN, "scores[1].errors[0] must be a number from 0 to 1, got nan"),
    (("scores", 1, "errors", 1), 1.1, "scores[1].errors[1] must be a number from 0 to 1, got 1.1"),
    (("scores", 1, "errors", 1), True, "scores[1].errors[1] must be a number from 0 to 1, got True"),
    (("scores", 1, "standard_errors", 1), -0.1, "scores[1].standard_errors[1] must be a number from 0 to 1, got -0.1"),
    (("scores", 1), make_score("test", [0.1]), "scores must all have the same number of errors"),
    (("scores",), [SCORE, SCORE], "scores must each have other conditions: split, locations, sample and seed"),
    (("scores",), [SCORE | {"sample": True}], "scores must include one at learned locations without sampling"),
    (("history",), {}, "history must be a list"),
    (("history", 0), {"episodes": 1}, "history[0] lacks the entries ['seconds', 'training_error', 'validation_error']"),
    (("history", 0, "episodes"), 0.5, "history[0].episodes must be an integer"),
    (("history", 0, "validation_error"), NAN, "history[0].validation_error must be a number from 0 to 1, got nan"),
    (("history", 0, "training_error"), 2, "history[0].training_error must be a number from 0 to 1, got 2"),
    (("history", 1, "episodes"), 5, "history must be in the order of episodes, each once"),
    (("generalization",), None, "generalization must be a list"),
    (
        ("generalization", 0, "env_kwargs"),
        {},
        "[0].env_kwargs must be one changed keyword argument, got 0",
    ),
    (("generalization", 0, "env_kwargs"), {"a": 1, "b": 1}, "must be one changed keyword argument, got 2"),
    (("generalization", 0, "env_kwargs"), {"a": "b"}, "generalization[0].env_kwargs.a must be a number"),
    (("generalization", 0, "env_kwargs"), {"a": [1]}, "generalization[0].env_kwargs.a must be a number"),
    (("generalization", 0, "score"), None, "generalization[0].score must be a dict, got None"),
    (("generalization", 0, "score", "errors"), [2], "generalization[0].score.errors[0] must be a number from 0 to 1"),
    (("gaze_distances",), 5, "gaze_distances must be a list"),
    (("gaze_distances", 1), -1, "gaze_distances[1] must be a number from 0"),
]


@pytest.mark.parametrize(("keys", "value", "message"), BAD_VALUES, ids=lambda value: str(value)[:40])
def test_wrong_structure_names_the_file_and_the_entry(tmp_path, keys, value, message):
    path = save_result(tmp_path, small_result())
    rewrite(path, lambda entries: put(entries, keys, value))
    with pytest.raises(ResultError, match=re.escape(message)) as caught:
        load_results(tmp_path)
    assert str(caught.value).startswith(f"{path} is damaged: ")
    assert str(caught.value).endswith("; run its recipe again")


@pytest.mark.parametrize(("keys", "value", "message"), BAD_VALUES, ids=lambda value: str(value)[:40])
def test_bad_result_is_not_saved(tmp_path, keys, value, message):
    values = dataclasses.asdict(small_result())
    put(values, keys, value)
    with pytest.raises(ValueError, match=re.escape(message)):
        save_result(tmp_path / "new", type(small_result())(**values))
    assert not (tmp_path / "new").exists()


def test_missing_and_unknown_entries(tmp_path):
    path = save_result(tmp_path, small_result())
    rewrite(path, lambda entries: entries.update(remarks="none", model=entries.pop("training_seconds")))
    message = "the result lacks the entries ['training_seconds'] and has the unknown entries ['remarks']"
    with pytest.raises(ResultError, match=re.escape(message)):
        load_results(tmp_path)


@pytest.mark.parametrize("depth", [10, 40])
def test_nested_garbage_is_an_error_that_names_the_entry(tmp_path, depth):
    path = save_result(tmp_path, small_result())
    content = path.read_text()
    for name in (field.name for field in dataclasses.fields(small_result())):
        rewrite(path, lambda entries, name=name: entries.update({name: json.loads(nested(depth))}))
        with pytest.raises(ResultError, match=rf"ram-mine-seed0\.json is damaged: {name}\S* must be"):
            load_results(tmp_path)
        path.write_text(content)


def test_generalization_changes_a_limited_number_of_arguments(tmp_path):
    entries = [{"env_kwargs": {f"a{i}": 1}, "score": make_score("test", [0.4])} for i in range(21)]
    save_result(tmp_path, small_result(generalization=entries[:20]))
    with pytest.raises(ValueError, match="generalization must change at most 20 keyword arguments, got 21"):
        save_result(tmp_path, small_result(generalization=entries))
