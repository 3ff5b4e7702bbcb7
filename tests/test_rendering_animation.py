"""Animations of finished episodes, and the files they are saved to."""

import os
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from glimpse_gym.rendering import animation, appearance
from glimpse_gym.rendering.animation import gaze_frames, save_gif, save_png
from glimpse_gym.retina import Retina
from pictures import CENTER, SHAPES, contains_color, frame_of, is_even_picture, random_episodes, random_image


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_frames_have_even_sizes(shape):
    episodes = random_episodes([1, 3, 12], shape, success=True)
    for columns in (1, 2, 6):
        assert all(map(is_even_picture, gaze_frames(episodes, columns=columns)))


def test_frames_of_images_of_different_sizes_are_a_grid():
    episodes = random_episodes([2], (10, 10)) + random_episodes([2], (90, 40, 3)) + random_episodes([2], (600, 600))
    alike = random_episodes([2, 2, 2], (600, 600))
    assert gaze_frames(episodes)[0].shape == gaze_frames(alike)[0].shape


def test_predictions_are_colored_at_the_last_glimpse_only():
    short, long = random_episodes([2, 4], success=True, predictions=("1", "2", "3", "4"))
    frames = gaze_frames([short._replace(success=False), long])
    colored = [(contains_color(f, appearance.SUCCESS), contains_color(f, appearance.FAILURE)) for f in frames]
    assert colored == [(False, False), (False, True), (False, True), (True, True)]
    assert len({frame.shape for frame in frames}) == 1
    assert all((a != b).any() for a, b in pairwise(frames))


def test_long_prediction_does_not_cover_the_progress_bar():
    short, long = (
        gaze_frames(random_episodes([1], predictions=(text,)))[0] for text in ("x", "a very long-winded prediction")
    )
    different = np.flatnonzero((short != long).any(axis=(0, 2)))
    assert 0 < different.max() < 0.45 * short.shape[1]


def test_no_episodes_or_no_fixations_error():
    for episodes in ([], random_episodes([2, 0])):
        with pytest.raises(ValueError, match="nothing to draw"):
            gaze_frames(episodes)


def test_png_is_lossless(tmp_path):
    picture = frame_of(random_image((9, 9)), CENTER, Retina(4))
    save_png(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as stored:
        assert np.array_equal(np.asarray(stored), picture)
    assert os.listdir(tmp_path) == ["a.png"]


def test_gif_keeps_frames_durations_and_outcome_colors(tmp_path):
    frames = gaze_frames(random_episodes([5, 5], success=True, predictions=tuple("12345")))
    save_gif(tmp_path / "a.gif", frames, [200, 200, 200, 200, 1500])
    with Image.open(tmp_path / "a.gif") as stored:
        durations, pictures = [], []
        for index in range(stored.n_frames):
            stored.seek(index)
            durations.append(stored.info["duration"])
            pictures.append(np.asarray(stored.convert("RGB")))
        assert stored.info["loop"] == 0
    assert durations == [200, 200, 200, 200, 1500]
    assert [picture.shape for picture in pictures] == [frame.shape for frame in frames]
    assert contains_color(pictures[-1], appearance.SUCCESS)
    assert not contains_color(pictures[0], appearance.SUCCESS)
    for picture, frame in zip(pictures, frames, strict=True):
        assert np.abs(picture.astype(int) - frame).mean() < 4


def test_gif_without_frames_or_with_missing_durations_error(tmp_path):
    for frames, durations in (([], 100), (gaze_frames(random_episodes([2])), [100])):
        with pytest.raises(ValueError, match="a duration for each"):
            save_gif(tmp_path / "a.gif", frames, durations)
    assert os.listdir(tmp_path) == []


def failing_save(self, name, *args, **kwargs):
    with open(name, "wb") as file:
        file.write(b"half")
    raise OSError("disk full")


def failing_replace(source, target):
    raise OSError("not allowed")


@pytest.mark.parametrize("failure", [(Image.Image, "save", failing_save), (os, "replace", failing_replace)])
@pytest.mark.parametrize("save", [save_png, lambda path, picture: save_gif(path, [picture], 100)])
def test_failed_write_changes_nothing(tmp_path, monkeypatch, failure, save):
    (tmp_path / "old").write_bytes(b"before")
    monkeypatch.setattr(*failure)
    for name in ("old", "new"):
        with pytest.raises(OSError, match=r"disk full|not allowed"):
            save(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"before"


def test_frames_that_take_too_much_memory_are_refused(monkeypatch):
    episodes = random_episodes([2, 5])
    num_bytes = 5 * gaze_frames(episodes)[0].nbytes
    monkeypatch.setattr(animation, "_MAX_FRAME_BYTES", num_bytes)
    assert len(gaze_frames(episodes)) == 5
    monkeypatch.setattr(animation, "_MAX_FRAME_BYTES", num_bytes - 1)
    with pytest.raises(ValueError, match=f"of 5 frames takes {num_bytes:,} bytes .*: draw fewer episodes, or"):
        gaze_frames(episodes)
