"""Journals of searches."""

import itertools
import json
import logging
import os
import re

import numpy as np
import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from glimpse_gym.agents.experiments.search_files import Outcome, Trial
from glimpse_gym.agents.experiments.search_journal import JOURNAL, Journal, SearchError, draw_values
from glimpse_gym.agents.experiments.search_spaces import check_values, parse_space
from kills import die, run_forked
from small_searches import SPACE, make_search

OUTCOMES = [Outcome(0.5, 0.6, 200, 1.5), Outcome(None, None, 40, 0.5), Outcome(0.25, 0.5, 200, 2.0)]


@pytest.fixture
def search(tmp_path):
    return make_search(tmp_path)


def fill(folder, search, number=3):
    """A journal with so many finished trials, the second of which diverged."""
    journal = Journal(folder, search)
    for trial in journal.unfinished(number):
        journal.start_trial(trial)
        journal.finish_trial(trial, OUTCOMES[trial])
    return journal


def trials(search, number=3):
    return [Trial(each, draw_values(search.space, each), OUTCOMES[each]) for each in range(number)]


def change_lines(folder, change):
    """Apply a function to the list of the journal's operations."""
    path = folder / JOURNAL
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


# ---------------------------------------------------------------- values


def test_values_are_in_range_rounded_and_spread_over_the_space():
    space = parse_space("space", SPACE)
    drawn = [check_values("values", draw_values(space, number), space) for number in range(60)]
    assert [list(values) for values in drawn] == [list(SPACE)] * 60
    for name, setting in SPACE.items():
        if "choices" in setting:
            assert {values[name] for values in drawn} == set(setting["choices"])
        else:
            assert len({values[name] for values in drawn}) > 20
    # Half of the log-uniform values are below the geometric mean of the limits, of the uniform ones below their mean.
    assert 15 < sum(values["learning_rate"] < 0.01 for values in drawn) < 45
    assert 15 < sum(values["sigma"] < 0.175 for values in drawn) < 45


def test_values_depend_on_the_number_and_not_on_the_order_of_the_settings():
    space = parse_space("space", SPACE)
    backward = dict(reversed(space.items()))
    for number in range(5):
        assert draw_values(space, number) == draw_values(space, number) == draw_values(backward, number)
    assert draw_values(space, 0) != draw_values(space, 1)


def test_values_are_the_same_however_the_search_is_divided_into_runs(tmp_path, search):
    for name, parts in (("a", [6]), ("b", [1, 2, 3, 4, 5, 6]), ("c", [4, 6])):
        (tmp_path / name).mkdir()
        for part in parts:
            journal = Journal(tmp_path / name, search)
            for number in journal.unfinished(part):
                assert journal.start_trial(number) == draw_values(search.space, number)
                journal.finish_trial(number, OUTCOMES[0])
        assert [trial.values for trial in journal.finished()] == [draw_values(search.space, n) for n in range(6)]


# ---------------------------------------------------------------- resuming


def test_journal_is_continued(tmp_path, search):
    journal = Journal(tmp_path, search)
    assert (journal.finished(), journal.unfinished(2)) == ([], [0, 1])
    fill(tmp_path, search, 2)
    journal = Journal(tmp_path, search)
    assert (journal.finished(), journal.unfinished(4)) == (trials(search, 2), [2, 3])
    assert fill(tmp_path, search).finished() == trials(search)
    assert journal.unfinished(1) == []


def test_trial_that_was_begun_keeps_its_stored_values(tmp_path, search):
    journal = fill(tmp_path, search, 1)
    values = journal.start_trial(1)

    def other_sigma(lines):
        lines[-1]["params"]["sigma"] = 0.25

    assert values["sigma"] != 0.25
    change_lines(tmp_path, other_sigma)
    journal = Journal(tmp_path, search)
    assert journal.unfinished(3) == [1, 2]
    assert journal.start_trial(1) == values | {"sigma": 0.25}
    journal.finish_trial(1, OUTCOMES[1])
    assert Journal(tmp_path, search).finished()[1] == Trial(1, values | {"sigma": 0.25}, OUTCOMES[1])


def test_part_of_a_line_is_removed(tmp_path, search):
    fill(tmp_path, search)
    content = (tmp_path / JOURNAL).read_bytes()
    last = content[content.rindex(b"\n", 0, -1) + 1 :]
    for length in (0, 1, len(last) // 2, len(last) - 1):
        (tmp_path / JOURNAL).write_bytes(content[: -len(last)] + last[:length])
        journal = Journal(tmp_path, search)
        assert (journal.finished(), journal.unfinished(3)) == (trials(search, 2), [2])
        journal.finish_trial(2, OUTCOMES[2])
        assert Journal(tmp_path, search).finished() == trials(search)


@pytest.mark.parametrize("number", range(1, 12))
def test_killed_before_any_line_of_the_journal_is_written(tmp_path, search, monkeypatch, number):
    append, count = JournalFileBackend.append_logs, itertools.count(1)

    def append_or_die(backend, logs):
        if next(count) == number:
            die()
        append(backend, logs)

    with monkeypatch.context() as patch:
        patch.setattr(JournalFileBackend, "append_logs", append_or_die)
        assert run_forked(lambda: fill(tmp_path, search)).was_killed
    assert fill(tmp_path, search).finished() == trials(search)
    assert len((tmp_path / JOURNAL).read_text().splitlines()) in (11, 12)  # an outcome may be there twice


def test_lock_of_a_killed_process_is_no_obstacle(tmp_path, search):
    fill(tmp_path, search, 1)
    for name in (f"{JOURNAL}.lock", f"{JOURNAL}.lock0123.rename"):
        (tmp_path / name).write_text("")
    assert fill(tmp_path, search).finished() == trials(search)
    assert [path.name for path in tmp_path.glob(f"{JOURNAL}*")] == [JOURNAL]


def test_optuna_logs_nothing_and_keeps_its_verbosity(tmp_path, search, capfd):
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.INFO)
    try:
        fill(tmp_path, search)
        assert optuna.logging.get_verbosity() == logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- another configuration


def test_more_trials_are_no_other_configuration(tmp_path, search):
    fill(tmp_path, search, 1)
    assert Journal(tmp_path, make_search(tmp_path, num_trials=9)).unfinished(9) == [*range(1, 9)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_episodes": 400}, r"num_episodes = 190 (now: 400)"),
        ({"validation_episodes": 10, "warmup_updates": 2}, "validation_episodes = 20 (now: 10), warmup_updates = 0"),
        (
            {"space": SPACE | {"sigma": {"low": 0.1, "high": 0.3}}},
            "space.sigma = {'low': 0.05, 'high': 0.3, 'log': False} (now: {'low': 0.1, 'high': 0.3, 'log': False})",
        ),
        ({"space": SPACE | {"loss_weighting": {"choices": ["last", "linear"]}}}, "loss_weighting = linear (now: None)"),
        ({"space": SPACE | {"loss_weighting": {"choices": ["last", "linear"]}}}, "space.loss_weighting = None (now: {"),
    ],
)
def test_another_configuration_is_refused(tmp_path, search, changes, message):
    fill(tmp_path, search, 1)
    content = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(SearchError, match=re.escape(message)) as caught:
        Journal(tmp_path, make_search(tmp_path, **changes))
    assert str(caught.value).startswith(f"{tmp_path / JOURNAL} holds trials with ")
    assert str(caught.value).endswith(": undo the changes, or use another folder")
    assert (tmp_path / JOURNAL).read_bytes() == content


# ---------------------------------------------------------------- damaged journals


def drop_param(lines):
    del lines[2]["params"]["sigma"]


def drop_configuration(lines):
    lines[1]["user_attr"] = {"other": {}}


def set_param(value):
    return lambda lines: lines[2]["params"].update(sigma=value)


def set_outcome(**values):
    return lambda lines: lines[3]["user_attr"]["outcome of trial 0"].update(values)


def set_value(value):
    return lambda lines: lines[4].update(values=value)


DAMAGES = [
    *(drop_param, drop_configuration, set_param(0.5), set_param(0.123), set_param("0.1"), set_param(None)),
    *(set_outcome(validation_error=1.5), set_outcome(seconds=None), set_outcome(more=1), set_value([0.25])),
    *(set_value(None), lambda lines: lines[4].update(state=2), lambda lines: lines.pop(1), lambda lines: lines.pop(3)),
    *(lambda lines: lines[0].update(study_name="other"), lambda lines: lines[0].update(directions=[2])),
    *(lambda lines: lines[2].update(op_code=77), lambda lines: lines.insert(1, []), lambda lines: lines.insert(1, {})),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_journal_is_an_error_with_a_remedy(tmp_path, search, damage):
    fill(tmp_path, search, 1)
    change_lines(tmp_path, damage)
    with pytest.raises(SearchError, match=re.escape(f"{tmp_path / JOURNAL} is damaged (")) as caught:
        Journal(tmp_path, search)
    assert str(caught.value).endswith(
        "): remove it and run the search again; what is trained in its folder is not trained again"
    )


@pytest.mark.parametrize(
    "content", [b"\n", b"{\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"null\n"], ids=lambda c: c[:4]
)
def test_file_that_is_no_journal(tmp_path, search, content):
    fill(tmp_path, search, 1)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(content)
    with pytest.raises(SearchError, match=re.escape(f"{tmp_path / JOURNAL} is damaged (")):
        Journal(tmp_path, search)


@pytest.mark.parametrize("line", [0, 2, 4])
def test_trial_that_lost_a_line_is_run_again(tmp_path, search, line):
    fill(tmp_path, search, 1)
    change_lines(tmp_path, lambda lines: lines.pop(line))
    assert Journal(tmp_path, search).unfinished(3) == [0, 1, 2]
    assert fill(tmp_path, search).finished() == trials(search)


def test_random_damage_never_gives_another_kind_of_error(tmp_path, search):
    fill(tmp_path, search)
    content, rng = (tmp_path / JOURNAL).read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        (tmp_path / JOURNAL).write_bytes(damaged)
        try:
            Journal(tmp_path, search)
        except SearchError as error:
            assert str(tmp_path / JOURNAL) in str(error)  # noqa: PT017


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_fifo_in_the_place_of_the_journal(tmp_path, search):
    os.mkfifo(tmp_path / JOURNAL)
    with pytest.raises(OSError, match="is not a regular file"):
        Journal(tmp_path, search)
