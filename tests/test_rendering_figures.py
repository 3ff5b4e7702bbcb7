"""Figures of finished episodes, and the files they are saved to."""

import os
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from glimpse_gym.rendering import drawing
from glimpse_gym.rendering.figures import ScanpathEpisode, gaze_frames, save_gif, save_png, scanpath_plate
from glimpse_gym.retina import Retina
from pictures import CENTER, SHAPES, contains_color, frame_of, is_even_picture, random_episodes, random_image


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_plates_and_animations_have_even_sizes(shape):
    episodes = random_episodes([1, 3, 12], shape, caption="a → b", success=True)
    for columns in (1, 2, 6):
        for picture in (
            scanpath_plate(episodes, title="seen", columns=columns),
            *gaze_frames(episodes, columns=columns),
        ):
            assert is_even_picture(picture)


def test_plate_of_images_of_different_sizes_is_a_grid():
    episodes = random_episodes([2], (10, 10)) + random_episodes([2], (90, 40, 3)) + random_episodes([2], (600, 600))
    alike = random_episodes([2, 2, 2], (600, 600))
    assert scanpath_plate(episodes).shape == scanpath_plate(alike).shape


def test_captions_are_colored_by_outcome():
    shown = {}
    for good in (True, False, None):
        plate = scanpath_plate(random_episodes([2], caption="7 → 7", success=good))
        # Thin letters need not reach their full color anywhere.
        off = [np.abs(plate[-40:].astype(int) - color).sum(axis=-1) for color in (drawing.SUCCESS, drawing.FAILURE)]
        shown[good] = tuple(bool((distance < 60).any()) for distance in off)
    assert shown == {True: (True, False), False: (False, True), None: (False, False)}
    with_arrow, without = (scanpath_plate(random_episodes([2], caption=text)) for text in ("7 → 7", "7   7"))
    assert not np.array_equal(with_arrow, without)


def test_plate_colors_run_from_first_to_last_fixation():
    plate = scanpath_plate([ScanpathEpisode(np.zeros((9, 9), np.uint8), np.array([[-0.8, 0], [0.8, 0]]), Retina(2))])
    middle = plate.shape[1] // 2
    early, late = drawing.TIME_GRADIENT[[0, -1]].astype(int)
    assert contains_color(plate[:, :middle], early)
    assert not contains_color(plate[:, middle:], early)
    assert contains_color(plate[:, middle:], late)


def test_predictions_are_colored_at_the_last_glimpse_only():
    short, long = random_episodes([2, 4], success=True, predictions=("1", "2", "3", "4"))
    frames = gaze_frames([short._replace(success=False), long])
    colored = [(contains_color(f, drawing.SUCCESS), contains_color(f, drawing.FAILURE)) for f in frames]
    assert colored == [(False, False), (False, True), (False, True), (True, True)]
    assert len({frame.shape for frame in frames}) == 1
    assert all((a != b).any() for a, b in pairwise(frames))


def test_long_prediction_does_not_cover_the_progress_bar():
    short, long = (
        gaze_frames(random_episodes([1], predictions=(text,)))[0] for text in ("x", "a very long-winded prediction")
    )
    different = np.flatnonzero((short != long).any(axis=(0, 2)))
    assert 0 < different.max() < 0.45 * short.shape[1]


@pytest.mark.parametrize("make", [scanpath_plate, gaze_frames])
def test_no_episodes_or_no_fixations_error(make):
    for episodes in ([], random_episodes([2, 0])):
        with pytest.raises(ValueError, match="nothing to draw"):
            make(episodes)


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
    assert contains_color(pictures[-1], drawing.SUCCESS)
    assert not contains_color(pictures[0], drawing.SUCCESS)
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
