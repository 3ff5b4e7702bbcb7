"""The viewer of recorded episodes: steps, keys, time, and saved pictures."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from glimpse_gym import extras
from glimpse_gym.play import viewer as viewer_module
from glimpse_gym.play.agent_player import AgentPlayer
from glimpse_gym.play.record_view import draw_record
from glimpse_gym.play.viewer import Viewer, save_records, show_records
from glimpse_gym.rendering import animation
from glimpse_gym.rendering.drawing import surface_to_array
from play_games import CATCH, DIGITS, FixedOpponent


@pytest.fixture(scope="module")
def records():
    opponent = FixedOpponent(*DIGITS)
    return [opponent.play(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def agent_record():
    return AgentPlayer("ram-mnist").play("glimpse_gym/MNIST-v0", {"split": "validation"}, 5)


def test_steps_and_episodes(records):
    viewer = Viewer(iter(records), pace=2)
    assert (viewer.episode, viewer.step) == (0, 0)
    for _ in range(records[0].num_steps):
        viewer.press("right")
    assert (viewer.episode, viewer.step) == (0, records[0].num_steps)
    viewer.press("right")
    assert (viewer.episode, viewer.step) == (1, 0)
    viewer.press("left")
    assert (viewer.episode, viewer.step) == (0, records[0].num_steps)
    viewer.press("down")
    viewer.press("down")
    assert viewer.episode == 2
    viewer.press("up")
    assert (viewer.episode, viewer.step) == (1, 0)
    viewer.press("down")
    viewer.press("down")
    assert viewer.finished


def test_time_runs_at_the_pace_and_the_end_stays_longer(records):
    viewer = Viewer(iter(records), pace=4)
    for _ in range(records[0].num_steps):
        viewer.tick(0.25)
    assert viewer.step == records[0].num_steps
    viewer.tick(1.9)
    assert viewer.episode == 0
    viewer.tick(0.2)
    assert viewer.episode == 1


def test_space_stops_and_runs(records):
    viewer = Viewer(iter(records), pace=2)
    viewer.press("space")
    viewer.tick(10)
    assert viewer.step == 0
    viewer.press("space")
    viewer.tick(0.5)
    assert viewer.step == 1


def test_records_are_taken_one_at_a_time(records):
    taken = []

    def lazily():
        for record in records:
            taken.append(record)
            yield record

    Viewer(lazily(), pace=2)
    assert len(taken) == 1


def test_no_record_is_an_error():
    with pytest.raises(ValueError, match="no episode"):
        Viewer(iter([]), pace=2)


def test_belief_is_drawn_for_agents_only(agent_record, records):
    panel = surface_to_array(draw_record(agent_record, 3, (960, 640)))[80:580, 640:]
    assert len(np.unique(panel.reshape(-1, 3), axis=0)) > 20
    empty = surface_to_array(draw_record(records[0], 1, (960, 640)))[80:580, 640:]
    assert len(np.unique(empty.reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("size", [(960, 640), (320, 700), (64, 64), (1, 1)])
def test_every_step_is_drawn_at_any_size(agent_record, size):
    pictures = [surface_to_array(draw_record(agent_record, step, size)) for step in range(agent_record.num_steps + 1)]
    assert all(picture.shape == (max(size[1], 64), max(size[0], 64), 3) for picture in pictures)
    assert all((a != b).any() for a, b in pairwise(pictures))


def test_moving_images_show_every_frame():
    record = FixedOpponent(*CATCH).play(0)
    pictures = [surface_to_array(draw_record(record, step, (480, 320))) for step in range(record.num_steps + 1)]
    assert all((a != b).any() for a, b in pairwise(pictures))


def test_save_png_and_gif(tmp_path, agent_record, records):
    save_records(tmp_path / "a.png", iter([agent_record]), scale=0.5)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (480, 320)
    save_records(tmp_path / "a.gif", iter(records), scale=0.25)
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames > 3


def test_save_mp4(tmp_path, records):
    save_records(tmp_path / "a.mp4", iter(records[:1]), pace=10, scale=0.25)
    assert (tmp_path / "a.mp4").read_bytes()[4:8] == b"ftyp"


def test_other_formats_are_refused(tmp_path, records):
    with pytest.raises(ValueError, match=r"\.gif, \.mp4, \.png"):
        save_records(tmp_path / "a.bmp", iter(records))
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_written_are_refused_before_any_episode(tmp_path, monkeypatch):
    def records():
        pytest.fail("an episode was played")
        yield

    with pytest.raises(FileNotFoundError, match=r"a\.gif cannot be written: there is no folder"):
        save_records(tmp_path / "missing" / "a.gif", records())
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"moviepy is not installed: pip install 'glimpse_gym\[video\]'"):
        save_records(tmp_path / "a.mp4", records())


def test_an_animation_that_takes_too_much_memory_is_refused_before_it_is_drawn(monkeypatch, tmp_path, records):
    num_frames = sum(record.num_steps + 1 for record in records[:2])
    monkeypatch.setattr(animation, "_MAX_FRAME_BYTES", 3 * 240 * 160 * num_frames)
    save_records(tmp_path / "a.gif", iter(records[:2]), scale=0.25)
    with pytest.raises(ValueError, match=r"takes .* bytes of memory.*: draw fewer episodes, or a smaller --scale"):
        save_records(tmp_path / "b.gif", iter(records), scale=0.25)
    monkeypatch.setattr(viewer_module, "draw_record", lambda *args: pytest.fail("a frame was drawn"))
    with pytest.raises(ValueError, match=r"takes .* bytes of memory"):
        save_records(tmp_path / "b.gif", iter(records), scale=2)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_window_closes_after_the_last_episode(records):
    show_records(iter(records[:1]), pace=60, scale=0.25)
