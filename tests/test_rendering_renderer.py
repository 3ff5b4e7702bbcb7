"""The renderer of a running world, checked with real worlds."""

import subprocess
import sys

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from glimpse_gym.envs.catch import CatchWorld
from glimpse_gym.envs.classification import ClassificationWorld
from glimpse_gym.rendering import renderer
from glimpse_gym.rendering.frames import render_frame
from glimpse_gym.rendering.renderer import Renderer
from glimpse_gym.world import Action
from pictures import random_fixations, random_image


class SpyRenderer(Renderer):
    """Renderer that keeps the arguments of ``render_frame``."""

    def __init__(self, world, monkeypatch):
        super().__init__(world, "rgb_array", {"render_fps": 4})

        def keep(image, fixations, retina, glimpse, **kwargs):
            self.image, self.fixations, self.glimpse, self.kwargs = image, fixations, glimpse, kwargs
            return render_frame(image, fixations, retina, glimpse, **kwargs)

        monkeypatch.setattr(renderer, "render_frame", keep)

    def summary(self, row):
        """Number of fixations, progress, reward and ended, as drawn."""
        self.size = self.draw(row).get_size()
        return len(self.fixations), self.kwargs["progress"], self.kwargs["reward"], self.kwargs["ended"]


def make_classification_world(num_rows, **kwargs):
    images = np.stack([random_image((12, 10), seed) for seed in range(20)])
    return ClassificationWorld(num_rows, images=images, labels=np.arange(20) % 2, patch_size=4, **kwargs)


def reset(world, recorded):
    rows = np.arange(world.num_rows)
    world.seed(rows, rows)
    world.reset(rows)
    recorded.record_reset(rows)


def step(world, recorded, choice, seed=0, commits=None, active=None):
    active = world.running.copy() if active is None else np.array(active)
    action = Action(random_fixations(world.num_rows, seed), np.asarray(choice, np.int64), commits)
    outcome = world.step(action, active)
    recorded.record_step(outcome)


def test_renderer_follows_a_classification_episode(monkeypatch):
    world = make_classification_world(2, num_glimpses=3, num_scales=2, glimpse_cost=0.25)
    recorded = SpyRenderer(world, monkeypatch)
    reset(world, recorded)
    start, answers = world.locations[0].copy(), [world.labels[0], 1 - world.labels[1]]
    summaries = [recorded.summary(0)]
    for seed in range(3):
        step(world, recorded, answers, seed)
        summaries.append(recorded.summary(0))
    # The last step scores the label and takes no glimpse.
    assert summaries == [
        (1, (1, 3), 0.0, False),
        (2, (2, 3), -0.25, False),
        (3, (3, 3), -0.5, False),
        (3, (3, 3), 0.5, True),
    ]
    assert np.array_equal(recorded.fixations, [start, random_fixations(2, 0)[0], random_fixations(2, 1)[0]])
    assert np.array_equal(recorded.fixations[-1], world.locations[0])
    assert np.array_equal(recorded.image, world.image(0))
    assert np.array_equal(recorded.glimpse, world.observe()["glimpse"][0])
    assert recorded.summary(1) == (3, (3, 3), -0.5, True)
    world.reset(np.array([0]))
    recorded.record_reset(np.array([0]))
    assert recorded.summary(0) == (1, (1, 3), 0.0, False)


def test_renderer_does_not_count_an_early_answer_as_a_glimpse(monkeypatch):
    world = make_classification_world(2, num_glimpses=5)
    recorded = SpyRenderer(world, monkeypatch)
    reset(world, recorded)
    step(world, recorded, world.labels, commits=np.array([True, False]))
    assert recorded.summary(0) == (1, (1, 5), 1.0, True)
    assert recorded.summary(1) == (2, (2, 5), 0.0, False)


def test_renderer_follows_a_catch_episode(monkeypatch):
    world = CatchWorld(1, num_glimpses=6, patch_size=3, num_scales=2)
    recorded = SpyRenderer(world, monkeypatch)
    reset(world, recorded)
    sizes = set()
    for frame in range(7):
        assert recorded.summary(0)[:2] == (frame + 1, (frame, 6))
        assert recorded.kwargs["image_moves"]
        assert np.array_equal(recorded.image, world.screens[0])
        sizes.add(recorded.size)
        if frame < 6:
            step(world, recorded, [1], frame)
    assert len(sizes) == 1
    assert recorded.summary(0)[2:] == (float(world.caught[0]), True)


def test_renderer_rows_are_independent(monkeypatch):
    world = CatchWorld(3, num_glimpses=4)
    recorded = SpyRenderer(world, monkeypatch)
    reset(world, recorded)
    step(world, recorded, [1, 1, 1], active=[True, False, True])
    world.reset(np.array([2]))
    recorded.record_reset(np.array([2]))
    assert [recorded.summary(row)[:2] for row in range(3)] == [(2, (1, 4)), (1, (0, 4)), (1, (0, 4))]


def test_render_before_reset_error():
    world = CatchWorld(2)
    recorded = Renderer(world, "rgb_array", {"render_fps": 4})
    world.reset(np.array([0]))
    recorded.record_reset(np.array([0]))
    assert recorded.draw(0).get_width() > 100
    for draw in (recorded.draw, recorded.render_text):
        with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
            draw(1)
    with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
        recorded.render()


def test_import_does_not_load_pillow_or_matplotlib():
    program = (
        "import sys, glimpse_gym.rendering.renderer; print([n for n in ('PIL', 'matplotlib') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
