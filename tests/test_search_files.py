"""Files of searches."""

import dataclasses
import json
import re

import pytest

from damaged_files import accepted_bit_flips, nested, put, rewrite
from glimpse_gym.agents.experiments import search_files
from glimpse_gym.agents.experiments.result_files import ResultError
from glimpse_gym.agents.experiments.search_files import Outcome, load_searches, save_search
from glimpse_gym.safe_io import read_checksummed_json, write_checksummed_json
from small_searches import make_search_result

NAN = float("nan")


def test_saved_search_is_loaded_unchanged(tmp_path):
    search = make_search_result()
    path = save_search(tmp_path / "results", search)
    assert path == tmp_path / "results" / "searches" / "paper-mine.json"
    assert load_searches(tmp_path / "results") == [search]
    assert list(path.parent.iterdir()) == [path]
    entries = json.loads(path.read_text())
    assert list(entries) == ["format", *(field.name for field in dataclasses.fields(search)), "checksum"]
    assert entries["format"] == "glimpse_gym search, format 1"


def test_searches_are_sorted_and_a_folder_without_any_has_none(tmp_path):
    assert load_searches(tmp_path) == load_searches(tmp_path / "nowhere") == []
    found = [make_search_result(name=name) for name in ("b", "a")]
    for search in found:
        save_search(tmp_path, search)
    (tmp_path / "searches" / ".a-01234567.json").write_text("of a killed writer")
    assert load_searches(tmp_path) == [found[1], found[0]]


def test_saving_replaces_the_file(tmp_path):
    search = make_search_result()
    save_search(tmp_path, dataclasses.replace(search, trials=search.trials[:1]))
    save_search(tmp_path, search)
    assert load_searches(tmp_path) == [search]


def test_renamed_file(tmp_path):
    path = save_search(tmp_path, make_search_result())
    path.rename(path.with_name("other.json"))
    with pytest.raises(ResultError, match=r"other\.json holds the run of paper-mine\.json: rename it"):
        load_searches(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", nested(1_000), '{"format": "glimpse_gym result, format 3"}'])
def test_file_that_is_no_search(tmp_path, content):
    path = save_search(tmp_path, make_search_result())
    path.write_text(content)
    with pytest.raises(ResultError, match=re.escape(str(path))):
        load_searches(tmp_path)


def test_every_flipped_bit_is_noticed(tmp_path):
    search = make_search_result(machine="")
    path = save_search(tmp_path, dataclasses.replace(search, trials=search.trials[1:2]))
    write_checksummed_json(path, read_checksummed_json(path).entries, indent=None)  # fewer bits
    assert accepted_bit_flips(path, search_files._load, ResultError) == []


def test_file_that_was_changed_by_hand_is_refused(tmp_path):
    path = save_search(tmp_path, make_search_result())
    path.write_text(path.read_text().replace('"validation_error": 0.2', '"validation_error": 0.1'))
    message = f"{path} is damaged, or was changed by hand: its checksum does not match; restore it, or run 'glimpse-gym"
    with pytest.raises(ResultError, match=re.escape(message)):
        load_searches(tmp_path)


FIRST = ("trials", 0, "outcome")
BAD_VALUES = [
    (("name",), "../x", "name must be a name"),
    (("machine",), "<x>", "machine must be one line"),
    (("versions",), {"torch": "2"}, "versions lacks the packages ['glimpse_gym', 'optuna']"),
    (("other",), 1, "the search has the unknown entries ['other']"),
    (("settings",), [], "settings must be a dict"),
    (("settings", "core"), {"a": 1}, "settings.core must be a number"),
    (("settings", "augmentation", "shift"), [1, -1], "settings.augmentation.shift must be two numbers [low, high]"),
    (("settings", "env_id"), "../a", "settings.env_id must be the id of an env"),
    (("settings", "num_episodes"), 0, "settings.num_episodes must be an integer from 1"),
    (("settings", "validation_episodes"), 0.5, "settings.validation_episodes must be an integer from 1"),
    (("settings", "sigma"), 0.1, "settings must be those that the search does not draw, got ['sigma']"),
    (("space",), {}, "space must be a dict with an entry for each setting, got {}"),
    (("space", "a b"), {"choices": [1]}, "a setting of space must be a name"),
    (("space", "sigma"), {"low": 1.0, "high": 0.5, "log": False}, "space.sigma.low must be below high"),
    (("space", "core"), {"choices": ["gru", "relu"]}, "settings must be those that the search does not draw"),
    (("trials",), {}, "trials must be a list"),
    (("trials",), [], "trials must be at least one"),
    (("trials", 0), 5, "trials[0] must be a dict, got 5"),
    (("trials", 1, "number"), 0, "trials must be at least one, in the order of their numbers, each once"),
    (("trials", 1, "number"), 7, "trials must be at least one, in the order of their numbers, each once"),
    (("trials", 0, "number"), -1, "trials[0].number must be an integer from 0"),
    (("trials", 0, "values"), [], "trials[0].values must be a dict"),
    (("trials", 0, "values", "sigma"), 0.5, "trials[0].values.sigma must be uniform from 0.05 to 0.3, got 0.5"),
    (("trials", 0, "values", "sigma"), 0.123, "trials[0].values.sigma must be uniform"),
    (("trials", 0, "values", "copies_per_image"), True, "trials[0].values.copies_per_image must be one of 1, 2, 4"),
    (("trials", 0, "values", "other"), 1, "trials[0].values has the unknown entries ['other']"),
    (FIRST, None, "trials[0].outcome must be a dict, got None"),
    ((*FIRST, "validation_error"), NAN, "trials[0].outcome.validation_error must be a number from 0 to 1, got nan"),
    ((*FIRST, "validation_error"), 1.5, "trials[0].outcome.validation_error must be a number from 0 to 1, got 1.5"),
    ((*FIRST, "validation_error"), None, "trials[0].outcome.validation_error must be a number from 0 to 1, got None"),
    ((*FIRST, "training_error"), "0", "trials[0].outcome.training_error must be a number from 0 to 1, got '0'"),
    ((*FIRST, "episodes"), -1, "trials[0].outcome.episodes must be an integer from 0"),
    ((*FIRST, "seconds"), float("inf"), "trials[0].outcome.seconds must be a number from 0"),
    ((*FIRST, "steps"), 1, "trials[0].outcome has the unknown entries ['steps']"),
]


@pytest.mark.parametrize(("keys", "value", "message"), BAD_VALUES, ids=lambda part: str(part)[:40])
def test_wrong_value_is_refused_even_with_a_matching_checksum(tmp_path, keys, value, message):
    path = save_search(tmp_path, make_search_result())
    rewrite(path, lambda entries: put(entries, keys, value))
    with pytest.raises(ResultError, match=re.escape(message)) as caught:
        load_searches(tmp_path)
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("run 'glimpse-gym search' again")


def test_wrong_value_is_not_saved(tmp_path):
    search = make_search_result()
    bad = dataclasses.replace(search.trials[0], outcome=Outcome(NAN, 0.1, 1, 1.0))
    message = r"the result of the search paper-mine cannot be saved: trials\[0\]\.outcome\.validation_error"
    with pytest.raises(ValueError, match=message):
        save_search(tmp_path, dataclasses.replace(search, trials=[bad]))
    assert list(tmp_path.iterdir()) == []
