"""Log of a training run for TensorBoard, read with TensorBoard's own reader."""

import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from glimpse_gym.agents.event_log import EventLog
from kills import limit_file_size, run_forked


def read_log(folder):
    """Read all series: (step, value) by name."""
    events = EventAccumulator(str(folder)).Reload()
    return {name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_values_are_on_disk_after_every_call(tmp_path):
    log = EventLog(tmp_path / "new" / "log", first_step=1)
    assert read_log(tmp_path / "new" / "log") == {}
    log.add(100, {"error": 0.5, "loss": -2.0})
    assert read_log(tmp_path / "new" / "log") == {"error": [(100, 0.5)], "loss": [(100, -2.0)]}
    log.add(200, {"error": 0.25, "loss": math.inf})
    assert read_log(tmp_path / "new" / "log") == {
        "error": [(100, 0.5), (200, 0.25)],
        "loss": [(100, -2.0), (200, math.inf)],
    }


def test_later_session_replaces_what_was_logged_from_its_first_step_on(tmp_path):
    first = EventLog(tmp_path, first_step=1)
    for step in (100, 200, 300):
        first.add(step, {"error": 0.5})
    assert read_log(tmp_path)["error"] == [(100, 0.5), (200, 0.5), (300, 0.5)]
    second = EventLog(tmp_path, first_step=201)
    assert read_log(tmp_path)["error"] == [(100, 0.5), (200, 0.5)]
    second.add(300, {"error": 0.25})
    EventLog(tmp_path, first_step=301).add(400, {"error": 0.125})
    assert read_log(tmp_path)["error"] == [(100, 0.5), (200, 0.5), (300, 0.25), (400, 0.125)]


@pytest.mark.parametrize("num_bytes", [1, 11, 12, 13, 30])
def test_cut_record_at_the_end_of_a_session_hides_nothing_else(tmp_path, num_bytes):
    first = EventLog(tmp_path, first_step=1)
    first.add(100, {"error": 0.5})
    first.add(200, {"error": 0.5})
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-num_bytes])
    EventLog(tmp_path, first_step=101).add(200, {"error": 0.25})
    assert read_log(tmp_path)["error"] == [(100, 0.5), (200, 0.25)]


def test_errors_name_the_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file"):
        EventLog(tmp_path / "file", first_step=1)
    log = EventLog(tmp_path / "log", first_step=1)
    (path,) = (tmp_path / "log").iterdir()
    ending = run_forked(lambda: log.add(100, {"error": 0.5}), limit_file_size(path.stat().st_size + 10))
    assert isinstance(ending.error, OSError)
    assert ending.error.filename == str(path)
    path.unlink()
    (tmp_path / "log").rmdir()
    with pytest.raises(FileNotFoundError, match=path.name):
        log.add(100, {"error": 0.5})
