"""Files of benchmark runs. S runs, P evaluations."""

import dataclasses
import json
import re

import numpy as np
import pytest

from damaged_files import accepted_bit_flips, nested, put, rewrite
from glimpse_gym.agents.benchmark.protocol import PROTOCOL_VERSION
from glimpse_gym.agents.benchmark.records import (
    RecordError,
    load_record,
    load_records,
    record_path,
    save_record,
    select,
    success_curves,
)
from glimpse_gym.safe_io import read_checksummed_json, write_checksummed_json
from hand_made_records import make_point, make_record, make_records, make_test

MAX = "1,000,000,000,000,000"


def test_saved_record_is_loaded_as_it_was(tmp_path):
    record = make_record(seed=3, env_kwargs={"glimpse_cost": 0.02})
    path = save_record(tmp_path / "new" / "folder", record)
    assert path == tmp_path / "new" / "folder" / "MNIST.sb3-ppo.seed3.json"
    assert load_record(path) == record
    assert list(path.parent.iterdir()) == [path]


def test_file_has_the_entries_of_the_format(tmp_path):
    entries = json.loads(save_record(tmp_path, make_record()).read_text())
    assert entries["format"] == f"glimpse_gym benchmark run, protocol {PROTOCOL_VERSION}"
    assert list(entries) == [
        *("format", "task", "algorithm", "seed", "env_id", "env_kwargs", "num_steps", "curve", "test", "seconds"),
        *("versions", "machine", "command", "checksum"),
    ]
    assert list(entries["curve"][0]) == ["num_steps", "seconds", "success", "episode_return", "num_glimpses"]
    assert list(entries["test"]) == [
        *("num_episodes", "success", "episode_return", "num_glimpses"),
        *("episodes_by_glimpses", "successes_by_glimpses"),
    ]


def test_record_without_curve_and_with_negative_return(tmp_path):
    record = make_record(curve=[], test=make_test([0, 1], [0, 2]) | {"episode_return": -0.5})
    assert load_record(save_record(tmp_path, record)) == record


def test_saving_again_replaces_the_record(tmp_path):
    save_record(tmp_path, make_record(success=0.5))
    save_record(tmp_path, make_record(success=0.6))
    assert [record.test["success"] for record in load_records(tmp_path)] == [0.6]


def test_records_of_a_folder_are_sorted_with_seeds_as_numbers(tmp_path):
    runs = [("MNIST", "sb3-ppo", 10), ("MNIST", "sb3-ppo", 9), ("MNIST", "random", 0), ("Catch", "sb3-ppo", 2)]
    for run in runs:
        save_record(tmp_path, make_record(*run))
    (tmp_path / "notes.txt").write_text("not read")
    (tmp_path / ".MNIST-abcdefgh.json").write_text("left by a killed writer")
    (tmp_path / "logs").mkdir()
    found = load_records(tmp_path)
    assert [(record.task, record.algorithm, record.seed) for record in found] == sorted(runs)
    assert [record.seed for record in select(found, "MNIST", "sb3-ppo")] == [9, 10]
    assert select(found, "MNIST", "unknown") == []


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_folder_without_records(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match="holds no records of runs: make some with 'glimpse-gym benchmark run'"):
        load_records(tmp_path / folder)


# ------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "../a", "a b", "-a", ".a", "ä", "a\n", 1, None])
def test_names_that_cannot_be_file_names(tmp_path, name):
    for kind, run in (("task", (name, "ppo", 0)), ("algorithm", ("MNIST", name, 0))):
        message = (
            f"{kind} must be a name of at most 80 letters, digits, - and _ that begins with a letter or digit, got"
        )
        with pytest.raises(ValueError, match=re.escape(f"{message} {name!r}")):
            record_path(tmp_path, *run)
        with pytest.raises(ValueError, match=f"cannot be saved: {kind} must be a name"):
            save_record(tmp_path, make_record(*run, env_id="A-v0"))
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_too_long_for_a_file_system(tmp_path):
    assert len(record_path(tmp_path, "a" * 80, "b" * 80, 10**15).name) < 255
    with pytest.raises(ValueError, match="task must be a name of at most 80 letters"):
        record_path(tmp_path, "a" * 81, "b", 0)


@pytest.mark.parametrize("seed", [-1, 1.0, True, "0"])
def test_seeds_that_are_no_integers(tmp_path, seed):
    with pytest.raises(ValueError, match=re.escape(f"seed must be an integer from 0 to {10**15}, got {seed!r}")):
        record_path(tmp_path, "MNIST", "sb3-ppo", seed)


def test_renamed_file(tmp_path):
    path = save_record(tmp_path, make_record())
    renamed = path.rename(tmp_path / "MNIST.sb3-ppo.seed7.json")
    with pytest.raises(RecordError, match=r"seed7\.json holds the run of MNIST\.sb3-ppo\.seed0\.json: rename it"):
        load_records(tmp_path)
    renamed.rename(path)
    assert len(load_records(tmp_path)) == 1


def test_two_files_with_the_same_run(tmp_path):
    path = save_record(tmp_path, make_record())
    (tmp_path / "MNIST.sb3-ppo.seed0 (copy).json").write_bytes(path.read_bytes())
    message = (
        r"seed0 \(copy\)\.json holds the run of MNIST\.sb3-ppo\.seed0\.json, as MNIST\.sb3-ppo\.seed0\.json beside it"
    )
    with pytest.raises(RecordError, match=message):
        load_records(tmp_path)


# ------------------------------------------------------------------------------------------ bad files


@pytest.mark.parametrize("version", ["0", "2", "x"])
def test_record_of_another_protocol(tmp_path, version):
    path = save_record(tmp_path, make_record())
    rewrite(path, lambda entries: entries.update(format=f"glimpse_gym benchmark run, protocol {version}"))
    message = f"is of protocol {version}, and only protocol {PROTOCOL_VERSION} is accepted here"
    with pytest.raises(RecordError, match=message) as caught:
        load_records(tmp_path)
    assert str(path) in str(caught.value)
    assert "use another folder, or remove it and run it again" in str(caught.value)


@pytest.mark.parametrize("content", ['{"format": "glimpse_gym result, format 2"}', "{}", "[]", "1", "null"])
def test_file_that_is_no_record(tmp_path, content):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(RecordError, match=r"other\.json is no record of a benchmark run.*move it to another folder"):
        load_records(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", b"\xff\xfe", '{"format": ', nested(100_000), '{"seed": ' + "1" * 5000 + "}"]
)
def test_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    with pytest.raises(
        RecordError, match=r"broken\.json cannot be read .* is damaged, or no record; remove it and run it again"
    ):
        load_records(tmp_path)


def test_every_flipped_bit_of_a_record_is_noticed(tmp_path):
    record = make_record(curve=[], test=make_test([0, 1], [0, 2]), versions={}, machine="", command="", env_id="A")
    path = save_record(tmp_path, record)
    write_checksummed_json(path, read_checksummed_json(path).entries, indent=None)  # fewer bits
    assert accepted_bit_flips(path, load_record, RecordError) == []
    assert load_record(path) == record


@pytest.mark.parametrize("with_checksum", [False, True])
def test_record_without_its_checksum_is_refused(tmp_path, with_checksum):
    path = save_record(tmp_path, make_record())
    entries = json.loads(path.read_text()) | {"machine": "another machine"}
    if not with_checksum:
        del entries["checksum"]
    path.write_text(json.dumps(entries, indent=1) + "\n")
    message = (
        "is damaged, was changed by hand, or was written by glimpse_gym 0.4.0: its checksum is missing or does not"
    )
    with pytest.raises(RecordError, match=re.escape(f"{path} {message}")):
        load_records(tmp_path)


def test_folder_in_the_place_of_a_record(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(RecordError, match=r"a\.json cannot be read .* is a folder"):
        load_records(tmp_path)


@pytest.mark.parametrize("depth", [10, 40])
def test_nested_garbage_is_an_error_that_names_the_entry(tmp_path, depth):
    path = save_record(tmp_path, make_record())
    content = path.read_text()
    for name in ("curve", "test", "versions", "env_kwargs", "seed", "task", "command"):
        rewrite(path, lambda entries, name=name: entries.update({name: json.loads(nested(depth))}))
        with pytest.raises(RecordError, match=rf"MNIST\.sb3-ppo\.seed0\.json is damaged: {name}\S* must be"):
            load_records(tmp_path)
        path.write_text(content)
    rewrite(path, lambda entries: entries.update(format=json.loads(nested(depth))))
    with pytest.raises(RecordError, match="is no record of a benchmark run"):
        load_records(tmp_path)


def test_missing_file(tmp_path):
    with pytest.raises(RecordError, match=r"MNIST\.ppo\.seed0\.json cannot be read"):
        load_record(record_path(tmp_path, "MNIST", "ppo", 0))


def test_missing_and_unknown_entries(tmp_path):
    path = save_record(tmp_path, make_record())
    rewrite(path, lambda entries: entries.update(speed=3, seconds=entries.pop("machine")))
    rewrite(path, lambda entries: entries.pop("seed"))
    with pytest.raises(
        RecordError, match=re.escape("lacks the entries ['machine', 'seed'] and has the unknown entries ['speed']")
    ):
        load_record(path)


BAD_VALUES = [
    (("task",), 1, "task must be a name of at most 80 letters, digits, - and _"),
    (("task",), "a/b", "begins with a letter or digit, got 'a/b'"),
    (("algorithm",), "../../a", "begins with a letter or digit, got '../../a'"),
    (("env_id",), "a b", "env_id must be the id of an env, such as 'glimpse_gym/MNIST-v0', got 'a b'"),
    (("env_id",), None, "env_id must be the id of an env"),
    (("machine",), "a | b", "machine must be one line of at most 1,000 printable characters without"),
    (("machine",), "a\nb", "machine must be one line"),
    (("machine",), "\ud800", "machine must be one line"),
    (("command",), True, "command must be one line"),
    (("versions",), {"torch": 2}, "versions.torch must be one line"),
    (("versions",), {"<script>": "2"}, "a package of versions must be a name"),
    (("env_kwargs",), {"zoom": {}}, "env_kwargs.zoom must be a number from"),
    (("env_kwargs",), {"zoom": [1, [2]]}, "env_kwargs.zoom[1] must be a number from"),
    (("env_kwargs",), {"zoom": float("inf")}, "env_kwargs.zoom must be a number from"),
    (("seed",), 10**400, f"seed must be an integer from 0 to {10**15}, got 1000000"),
    (("seed",), -1, f"seed must be an integer from 0 to {10**15}, got -1"),
    (("seed",), True, f"seed must be an integer from 0 to {10**15}, got True"),
    (("env_kwargs",), [], "env_kwargs must be a dict of at most 10,000 entries, got []"),
    (("versions",), None, "versions must be a dict of at most 10,000 entries, got None"),
    (("num_steps",), 1.5, f"num_steps must be an integer from 0 to {10**15}, got 1.5"),
    (("seconds",), -1, f"seconds must be a number from 0 to {MAX}, got -1"),
    (("seconds",), float("nan"), f"seconds must be a number from 0 to {MAX}, got nan"),
    (("seconds",), float("inf"), f"seconds must be a number from 0 to {MAX}, got inf"),
    (("seconds",), "1", f"seconds must be a number from 0 to {MAX}, got '1'"),
    (("curve",), {}, "curve must be a list of at most 10,000 items, got {}"),
    (("curve", 1), 5, "curve[1] must be a dict, got 5"),
    (
        ("curve", 0),
        {},
        "curve[0] lacks the entries ['episode_return', 'num_glimpses', 'num_steps', 'seconds', 'success']",
    ),
    (("curve", 1, "num_steps"), 2.0, f"curve[1].num_steps must be an integer from 0 to {10**15}, got 2.0"),
    (("curve", 1, "num_steps"), 250_000, "curve must be in the order of num_steps, each once, got [250000, 250000]"),
    (("curve", 1, "num_steps"), 5, "curve must be in the order of num_steps, each once, got [250000, 5]"),
    (("curve", 1, "seconds"), -0.1, f"curve[1].seconds must be a number from 0 to {MAX}, got -0.1"),
    (("curve", 1, "success"), float("nan"), "curve[1].success must be a number from 0 to 1, got nan"),
    (("curve", 0, "success"), 1.1, "curve[0].success must be a number from 0 to 1, got 1.1"),
    (
        ("curve", 0, "episode_return"),
        float("-inf"),
        f"curve[0].episode_return must be a number from -{MAX} to {MAX}, got -inf",
    ),
    (("test",), [], "test must be a dict, got []"),
    (("test", "success"), None, "test.success must be a number from 0 to 1, got None"),
    (("test", "success"), -0.1, "test.success must be a number from 0 to 1, got -0.1"),
    (("test", "success"), 0.51, "test.num_episodes and test.success must agree"),
    (("test", "num_episodes"), 0, f"test.num_episodes must be an integer from 1 to {10**15}, got 0"),
    (("test", "num_episodes"), 99, "got 99 and 0.5, but 50 successes in 100 episodes"),
    (("test", "num_glimpses"), -1, f"test.num_glimpses must be a number from 0 to {MAX}, got -1"),
    (
        ("test", "episodes_by_glimpses"),
        100,
        "test.episodes_by_glimpses must be a list of at most 10,000 items, got 100",
    ),
    (
        ("test", "episodes_by_glimpses", 4),
        100.0,
        f"test.episodes_by_glimpses[4] must be an integer from 0 to {10**15}, got 100.0",
    ),
    (("test", "successes_by_glimpses"), [50], "must have the length of test.episodes_by_glimpses"),
    (
        ("test", "successes_by_glimpses"),
        [1, 0, 0, 0, 49],
        "and no entry above it, got [1, 0, 0, 0, 49] and [0, 0, 0, 0, 100]",
    ),
    (
        ("test", "successes_by_glimpses", 2),
        -1,
        f"test.successes_by_glimpses[2] must be an integer from 0 to {10**15}, got -1",
    ),
]


@pytest.mark.parametrize(("keys", "value", "message"), BAD_VALUES, ids=lambda value: str(value)[:40])
def test_damaged_file_names_the_file_and_the_entry(tmp_path, keys, value, message):
    path = save_record(tmp_path, make_record())
    rewrite(path, lambda entries: put(entries, keys, value))
    with pytest.raises(RecordError, match=re.escape(message)) as caught:
        load_records(tmp_path)
    assert str(caught.value).startswith(f"{path} is damaged: ")
    assert str(caught.value).endswith("; remove it and run it again")


@pytest.mark.parametrize(("keys", "value", "message"), BAD_VALUES, ids=lambda value: str(value)[:40])
def test_bad_record_is_not_saved(tmp_path, keys, value, message):
    values = dataclasses.asdict(make_record())
    put(values, keys, value)
    with pytest.raises(ValueError, match=re.escape(message)):
        save_record(tmp_path / "new", type(make_record())(**values))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("value", [np.float32(1), float("nan"), {1}])
def test_values_that_json_cannot_store_are_not_saved(tmp_path, value):
    with pytest.raises(ValueError, match="the record of MNIST, sb3-ppo, seed 0 cannot be saved"):
        save_record(tmp_path, make_record(env_kwargs={"glimpse_cost": value}))
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------ learning curves


def curve_of(points):
    return make_record(curve=[make_point(steps, success) for steps, success in points])


def test_curves_at_equal_steps_are_unchanged():
    steps, success = success_curves(make_records(successes=(0.4, 0.8)))
    assert steps.tolist() == [250_000, 500_000]
    assert success.tolist() == [[0.2, 0.4], [0.4, 0.8]]


def test_curves_at_different_steps_are_interpolated_where_they_overlap():
    short = curve_of([(10, 0.1), (30, 0.3)])
    long = curve_of([(20, 0.0), (40, 0.4), (50, 0.4)])
    steps, success = success_curves([short, make_record(curve=[]), long])
    assert steps.tolist() == [20, 30]
    assert success == pytest.approx(np.array([[0.2, 0.3], [0.0, 0.2]]))


def test_curves_without_common_steps():
    steps, success = success_curves([curve_of([(10, 0.1)]), curve_of([(20, 0.2), (30, 0.2)])])
    assert (steps.shape, success.shape) == ((0,), (2, 0))
    steps, success = success_curves([make_record(curve=[])])
    assert (steps.shape, success.shape) == ((0,), (0, 0))
