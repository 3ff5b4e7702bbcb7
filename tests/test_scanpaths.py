"""Scores as text, recorded scan paths and their pictures, with agents whose episodes are known beforehand."""

import numpy as np
import pytest
from PIL import Image

from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.checkpoint import CheckpointMetadata
from glimpse_gym.agents.configs import ClassifierConfig, RAMConfig, ScriptedConfig
from glimpse_gym.agents.evaluation import EvalConditions, Score, evaluate
from glimpse_gym.agents.registry import make_policy
from glimpse_gym.agents.scanpaths import (
    evaluate_all,
    format_scores,
    record_scanpaths,
    save_pictures,
    scanpath_figure,
)
from glimpse_gym.agents.task_envs import make_envs
from tiny_data import limited_memory

ENV, CATCH = "glimpse_gym/Images-v0", "glimpse_gym/Catch-v0"


class BrightnessReader:
    """Reads the label off the glimpse at every time but the first, and moves right by a quarter."""

    def check_env(self, envs):
        pass

    def seed(self, seed):
        pass

    def initial_state(self, num_envs):
        return None

    def act(self, observation, state, sample=False):
        brightness = np.rint(observation["glimpse"][:, 0, 0, 0] * 255).astype(np.int64)
        label = (brightness + (observation["time"][:, 0] == 0)) % 3
        return {"label": label, "next_location": observation["location"] + np.float32([0.25, 0])}, state


@pytest.fixture
def metadata():
    """Metadata of an agent for uniform images: image i has brightness i and label i % 3; 7 of 70 are the test split."""
    images = np.repeat(np.arange(70, dtype=np.uint8), 64).reshape(70, 8, 8)
    env_kwargs = {"images": images, "labels": np.arange(70) % 3, "patch_size": 2, "num_scales": 2, "num_glimpses": 3}
    env_kwargs |= {"first_glimpse": "center"}
    task_spec = TaskSpec.from_env(make_envs(ENV, env_kwargs, "test", 1))
    return CheckpointMetadata(ENV, env_kwargs, RAMConfig(), task_spec)


def test_format_scores_is_in_per_cent(metadata):
    scores = [
        evaluate(BrightnessReader(), ENV, metadata.env_kwargs, EvalConditions("test", sample=sample))
        for sample in (False, True)
    ]
    scores.append(Score("validation", "random", False, 0, 100, [0.5, 0.25, 0.125], [0.05, 0.04, 0.03]))
    header, mean, sampled, random = format_scores(scores).splitlines()
    assert header.split() == ["split,", "locations", "1", "2", "3", "±", "s.e."]
    assert mean.split() == ["test,", "learned,", "mean", "100.00", "0.00", "0.00", "±", "0.00"]
    assert sampled.startswith("test, learned, sampled ")
    assert random.split() == ["validation,", "random", "50.00", "25.00", "12.50", "±", "3.00"]
    assert len({len(line) for line in (mean, random)}) == 1


def test_evaluate_all_compares_locations_of_policies_that_choose_them(metadata):
    def conditions(config):
        one = CheckpointMetadata(ENV, metadata.env_kwargs, config, metadata.task_spec)
        scores = evaluate_all(BrightnessReader(), one, "test", seed=3, num_episodes=5, progress=False)
        assert {(score.split, score.seed, score.num_episodes) for score in scores} == {("test", 3, 5)}
        return [(score.locations, score.sample) for score in scores]

    assert conditions(RAMConfig()) == [("learned", False), ("learned", True), ("random", False), ("center", False)]
    assert conditions(ClassifierConfig()) == [("learned", False)]


def test_recorded_scanpaths_have_image_locations_and_predictions(metadata):
    episodes = record_scanpaths(BrightnessReader(), metadata, "test", seed=0, num_episodes=5)
    assert len(episodes) == 5
    brightness = [int(episode.image[0, 0]) for episode in episodes]
    assert brightness == sorted(set(brightness))  # in file order
    for value, episode in zip(brightness, episodes, strict=True):
        np.testing.assert_array_equal(episode.image, np.full((8, 8), value, np.uint8))
        np.testing.assert_array_equal(episode.fixations, np.float32([[0, 0], [0.25, 0], [0.5, 0]]))
        assert (episode.retina.patch_size, episode.retina.num_scales) == (2, 2)
        label = value % 3
        assert episode.caption == f"{label} \u2192 {label}"
        assert episode.predictions == (str((label + 1) % 3), str(label), str(label))
        assert episode.success


def test_recorded_scanpaths_of_a_moving_image_show_all_of_it():
    env_kwargs = {"num_glimpses": 5, "patch_size": 2, "num_scales": 1}
    task_spec = TaskSpec.from_env(make_envs(CATCH, env_kwargs, "test", 1))
    config = ScriptedConfig("oracle")
    metadata = CheckpointMetadata(CATCH, env_kwargs, config, task_spec)
    episodes = record_scanpaths(make_policy(task_spec, config), metadata, "test", seed=0, num_episodes=4)
    for episode in episodes:
        assert episode.image.shape == (6, 6)
        # One pixel of the ball in each row but the last, which shows where the paddle was.
        assert ((episode.image == 255).sum(axis=1)[:5] == 1).all()
        assert (episode.image[5] == 255).sum() >= 2
        assert (episode.caption, episode.success, episode.predictions) == ("caught", True, ())
    assert len({episode.image.tobytes() for episode in episodes}) > 1


def test_recording_scanpaths_keeps_a_still_image_once(metadata):
    env_kwargs = metadata.env_kwargs | {"canvas_size": 500, "num_glimpses": 30}
    changed = CheckpointMetadata(ENV, env_kwargs, RAMConfig(), metadata.task_spec)
    with limited_memory(10_000_000):  # 4 images take 1 MB
        assert len(record_scanpaths(BrightnessReader(), changed, "test", seed=0, num_episodes=4)) == 4


def test_recording_scanpaths_keeps_the_maximum_of_a_moving_image():
    env_kwargs = {"num_glimpses": 150, "patch_size": 2, "num_scales": 1}
    task_spec = TaskSpec.from_env(make_envs(CATCH, env_kwargs, "test", 1))
    config = ScriptedConfig("oracle")
    metadata = CheckpointMetadata(CATCH, env_kwargs, config, task_spec)
    with limited_memory(5_000_000):  # 4 screens take 91 kB
        assert len(record_scanpaths(make_policy(task_spec, config), metadata, "test", seed=0, num_episodes=4)) == 4


def test_figure_counts_successes_by_the_name_of_the_choice(metadata, monkeypatch):
    from glimpse_gym.agents import scanpaths

    titles = []
    monkeypatch.setattr(scanpaths, "scanpath_plate", lambda episodes, columns, title: titles.append(title))
    episodes = record_scanpaths(BrightnessReader(), metadata, "test", seed=0, num_episodes=3)
    episodes[0] = episodes[0]._replace(success=False)
    for choice_name in ("label", "move", "gesture"):
        task_spec = metadata.task_spec._replace(choice_name=choice_name)
        scanpath_figure(episodes, CheckpointMetadata(ENV, {}, RAMConfig(), task_spec))
    assert titles == [f"{ENV}: 2 of 3 correct", f"{ENV}: 2 of 3 caught", f"{ENV}: 2 of 3 successful"]


def test_save_pictures_writes_a_figure_and_an_animation(metadata, tmp_path):
    figure, gif = save_pictures(tmp_path / "new", BrightnessReader(), metadata, "train", seed=0)
    assert (figure, gif) == (tmp_path / "new" / "scanpaths.png", tmp_path / "new" / "gaze.gif")
    assert sorted(path.name for path in figure.parent.iterdir()) == ["gaze.gif", "scanpaths.png"]
    with Image.open(figure) as picture:
        assert picture.width > picture.height > 100
    with Image.open(gif) as animation:
        assert animation.n_frames == 3
        durations = []
        for frame in range(3):
            animation.seek(frame)
            durations.append(animation.info["duration"])
    assert durations == [500, 500, 2000]
