"""Frames of ``render()``, checked pixel by pixel, and the Recorder, checked with real worlds."""

import subprocess
import sys

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from glimpse_gym.envs.catch import CatchWorld
from glimpse_gym.envs.classification import ClassificationWorld
from glimpse_gym.rendering import drawing, frames
from glimpse_gym.rendering.frames import Recorder, render_frame
from glimpse_gym.rendering.scene import Scene
from glimpse_gym.retina import Retina
from glimpse_gym.world import Action
from pictures import CENTER, SHAPES, contains_color, frame_of, is_even_picture, random_fixations, random_image


@pytest.mark.parametrize("retina", [Retina(8), Retina(5, 3), Retina(3, 6), Retina(300, 2), Retina(1, 12)], ids=repr)
def test_frame_size_is_even_and_depends_only_on_the_retina(retina):
    pictures = [frame_of(random_image(shape), random_fixations(3), retina) for shape in SHAPES]
    assert all(is_even_picture(picture) for picture in pictures)
    assert len({picture.shape for picture in pictures}) == 1


def test_arguments_are_not_modified():
    image, fixations, retina = random_image((20, 30, 3)), random_fixations(4), Retina(4, 2)
    glimpse = retina.sense(image[np.newaxis], fixations[-1:])[0]
    for array in (image, fixations, glimpse):
        array.setflags(write=False)
    first = render_frame(image, fixations, retina, glimpse, progress=(4, 6), reward=0.5, ended=True)
    first[...] = 0
    assert render_frame(image, fixations, retina, glimpse, progress=(4, 6), reward=0.5, ended=True).any()


def test_earlier_glimpses_are_bright_unless_the_image_moves():
    image, fixations = np.full((20, 20), 255, np.uint8), np.array([[-0.8, -0.8], [0.8, 0.8]], np.float32)
    pixel = 84 + 24 + 30, 24 + 24 + 30  # in the upper left of the image, off the line
    still = frame_of(image, fixations, Retina(4))
    moving = frame_of(image, fixations, Retina(4), image_moves=True)
    assert still[pixel].min() == 255
    assert moving[pixel].max() < 128


def test_patch_outlines_and_glimpse_panel_share_colors():
    image, retina = np.zeros((48, 48), np.uint8), Retina(8, 3)
    frame = frame_of(image, CENTER, retina)
    scene = Scene(image, retina, CENTER, frames._IMAGE_SIDE, frames._MARGIN)
    for scale in range(3):
        top, left, bottom, right = scene.patch_box(CENTER[0], scale)
        color = drawing.SCALE_COLORS[scale]
        for y, x in ((top - 1, left - 1), (top, left), (bottom - 1, right - 1), (bottom, right)):
            assert tuple(frame[84 + y, 24 + x]) == color
        assert contains_color(frame[:, 24 + 528 + 24 :], color)


def test_glimpse_panel_shows_each_scale():
    red, green = np.zeros((3, 4, 4), np.float32), np.zeros((3, 4, 4), np.float32)
    red[0], green[1] = 1, 0.5
    glimpse = np.concatenate([red, green])
    frame = render_frame(random_image((9, 9, 3)), CENTER, Retina(4, 2), glimpse, progress=(1, 2), reward=0.0)
    right = frame[84 : 84 + 528, 24 + 528 + 24 :]
    assert contains_color(right[:264], (255, 0, 0))
    assert not contains_color(right[264:], (255, 0, 0))
    assert contains_color(right[264:], (0, 128, 0))
    assert not contains_color(right[:264], (0, 128, 0))


def test_progress_and_reward_are_shown():
    image, retina = random_image((9, 9)), Retina(4)
    running = frame_of(image, CENTER, retina, reward=0.0)
    assert not np.array_equal(running, frame_of(image, CENTER, retina, progress=(2, 7)))
    assert not np.array_equal(running, frame_of(image, CENTER, retina, reward=1.0))
    assert np.array_equal(running, frame_of(image, CENTER, retina, reward=-0.0))
    caught = frame_of(image, CENTER, retina, reward=1.0, ended=True)
    missed = frame_of(image, CENTER, retina, reward=0.0, ended=True)
    colors = [
        (contains_color(p, drawing.SUCCESS), contains_color(p, drawing.FAILURE)) for p in (running, caught, missed)
    ]
    assert colors == [(False, False), (True, False), (False, True)]


@pytest.mark.parametrize("total", [1, 7, 23, 5000])
def test_progress_bar_grows(total):
    def filled(count):
        bar = frame_of(random_image((9, 9)), CENTER, Retina(4), progress=(count, total))[62, 24:-24]
        return np.flatnonzero((bar == drawing.SCALE_COLORS[0]).all(axis=-1))

    counts = sorted({0, total // 3, total // 2, total})
    lengths = [len(filled(count)) for count in counts]
    assert lengths[0] == 0
    assert lengths == sorted(lengths)
    assert filled(total).max() > 200


class SpyRecorder(Recorder):
    """Recorder that keeps the arguments of ``render_frame``."""

    def __init__(self, world, monkeypatch):
        super().__init__(world)

        def keep(image, fixations, retina, glimpse, **kwargs):
            self.image, self.fixations, self.glimpse, self.kwargs = image, fixations, glimpse, kwargs
            return render_frame(image, fixations, retina, glimpse, **kwargs)

        monkeypatch.setattr(frames, "render_frame", keep)

    def summary(self, row):
        """Number of fixations, progress, reward and ended, as drawn."""
        self.size = self.render(row).shape
        return len(self.fixations), self.kwargs["progress"], self.kwargs["reward"], self.kwargs["ended"]


def make_classification_world(num_rows, **kwargs):
    images = np.stack([random_image((12, 10), seed) for seed in range(20)])
    return ClassificationWorld(num_rows, images=images, labels=np.arange(20) % 2, patch_size=4, **kwargs)


def reset(world, recorder):
    rows = np.arange(world.num_rows)
    world.seed(rows, rows)
    world.reset(rows)
    recorder.record_reset(rows)


def step(world, recorder, choice, seed=0, commits=None, active=None):
    active = world.running.copy() if active is None else np.array(active)
    action = Action(random_fixations(world.num_rows, seed), np.asarray(choice, np.int64), commits)
    outcome = world.step(action, active)
    recorder.record_step(outcome)


def test_recorder_follows_a_classification_episode(monkeypatch):
    world = make_classification_world(2, num_glimpses=3, num_scales=2, glimpse_cost=0.25)
    recorder = SpyRecorder(world, monkeypatch)
    reset(world, recorder)
    start, answers = world.locations[0].copy(), [world.labels[0], 1 - world.labels[1]]
    summaries = [recorder.summary(0)]
    for seed in range(3):
        step(world, recorder, answers, seed)
        summaries.append(recorder.summary(0))
    # The last step scores the label and takes no glimpse.
    assert summaries == [
        (1, (1, 3), 0.0, False),
        (2, (2, 3), -0.25, False),
        (3, (3, 3), -0.5, False),
        (3, (3, 3), 0.5, True),
    ]
    assert np.array_equal(recorder.fixations, [start, random_fixations(2, 0)[0], random_fixations(2, 1)[0]])
    assert np.array_equal(recorder.fixations[-1], world.locations[0])
    assert np.array_equal(recorder.image, world.image(0))
    assert np.array_equal(recorder.glimpse, world.observe()["glimpse"][0])
    assert recorder.summary(1) == (3, (3, 3), -0.5, True)
    world.reset(np.array([0]))
    recorder.record_reset(np.array([0]))
    assert recorder.summary(0) == (1, (1, 3), 0.0, False)


def test_recorder_does_not_count_an_early_answer_as_a_glimpse(monkeypatch):
    world = make_classification_world(2, num_glimpses=5)
    recorder = SpyRecorder(world, monkeypatch)
    reset(world, recorder)
    step(world, recorder, world.labels, commits=np.array([True, False]))
    assert recorder.summary(0) == (1, (1, 5), 1.0, True)
    assert recorder.summary(1) == (2, (2, 5), 0.0, False)


def test_recorder_follows_a_catch_episode(monkeypatch):
    world = CatchWorld(1, num_glimpses=6, patch_size=3, num_scales=2)
    recorder = SpyRecorder(world, monkeypatch)
    reset(world, recorder)
    sizes = set()
    for frame in range(7):
        assert recorder.summary(0)[:2] == (frame + 1, (frame, 6))
        assert recorder.kwargs["image_moves"]
        assert np.array_equal(recorder.image, world.screens[0])
        sizes.add(recorder.size)
        if frame < 6:
            step(world, recorder, [1], frame)
    assert len(sizes) == 1
    assert recorder.summary(0)[2:] == (float(world.caught[0]), True)


def test_recorder_rows_are_independent(monkeypatch):
    world = CatchWorld(3, num_glimpses=4)
    recorder = SpyRecorder(world, monkeypatch)
    reset(world, recorder)
    step(world, recorder, [1, 1, 1], active=[True, False, True])
    world.reset(np.array([2]))
    recorder.record_reset(np.array([2]))
    assert [recorder.summary(row)[:2] for row in range(3)] == [(2, (1, 4)), (1, (0, 4)), (1, (0, 4))]


def test_render_before_reset_error():
    world = CatchWorld(2)
    recorder = Recorder(world)
    world.reset(np.array([0]))
    recorder.record_reset(np.array([0]))
    assert is_even_picture(recorder.render(0))
    with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
        recorder.render(1)


def test_import_does_not_load_pillow():
    program = "import sys, glimpse_gym.rendering.frames; print('PIL' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
