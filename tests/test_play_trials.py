"""Trials made from recorded episodes."""

import dataclasses

import numpy as np
import pytest

from glimpse_gym.play.trials import describe_task, mean_image, picture_key, trial_of_record
from hand_made_trials import make_trial, picture
from recordings import catch_env, images_env, play


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    return images_env(tmp_path_factory.mktemp("images"), num_glimpses=4)


def test_a_recorded_episode(env):
    record = play(env, seed=3)
    trial = trial_of_record(record)
    assert (trial.player, trial.label, trial.success) == ("Ann", record.label, record.success)
    assert trial.num_given == 1
    np.testing.assert_array_equal(trial.locations, record.locations[:4])
    np.testing.assert_array_equal(trial.chosen, record.next_locations[:3])
    np.testing.assert_array_equal(trial.guesses, [-1, -1, -1, record.choices[-1]])
    np.testing.assert_array_equal(trial.seconds, record.seconds)
    np.testing.assert_array_equal(trial.image, record.image)
    assert trial.guess_probs is None
    assert (trial.retina.patch_size, trial.retina.num_scales) == (4, 1)


def test_glimpses_that_were_given_up_are_left_out(env):
    probs = np.full((4, 3), 1 / 3, np.float32)
    record = dataclasses.replace(play(env), num_glimpses=2, guesses=np.array([0, 1, 1, 1]), guess_probs=probs)
    trial = trial_of_record(record)
    assert len(trial.locations) == len(trial.guesses) == len(trial.seconds) == len(trial.guess_probs) == 2
    assert trial.guesses[-1] == record.choices[-1]
    np.testing.assert_array_equal(trial.guesses_after(4), [0, *[record.choices[-1]] * 3])
    np.testing.assert_array_equal(trial.guesses_after(1), [0])


def test_the_record_is_not_changed(env):
    record = play(env)
    before = record.guesses.copy()
    trial_of_record(record).guesses[:] = 7
    np.testing.assert_array_equal(record.guesses, before)


def test_equal_still_images_are_one_picture_whatever_the_retina(env, tmp_path):
    other = images_env(tmp_path, num_glimpses=4, patch_size=2)
    first, same, different = play(env, seed=1), play(other, seed=1), play(env, seed=2)
    assert first.image_index != different.image_index
    pictures = [trial_of_record(record).picture for record in (first, same, different)]
    assert pictures[0] == pictures[1] != pictures[2]


def test_games_are_one_picture_if_env_and_seed_are_equal():
    env = catch_env()
    records = [play(env, seed=1), play(env, seed=1, player="Ben"), play(env, seed=2), play(catch_env(patch_size=4), 1)]
    pictures = [trial_of_record(record).picture for record in records]
    assert pictures[0] == pictures[1]
    assert len(set(pictures)) == 3
    trial = trial_of_record(records[0])
    assert trial.image_moves
    assert trial.label == -1
    np.testing.assert_array_equal(trial.guesses, [-1] * 5)


@pytest.mark.parametrize(
    ("env_id", "env_kwargs", "text"),
    [
        *(("glimpse_gym/Catch-v0", {}, "glimpse_gym/Catch-v0"), ("other/X-v0", {"a": 1}, "other/X-v0 (a=1)")),
        ("glimpse_gym/MNIST-v0", {"images": "mnist", "split": "train"}, "glimpse_gym/MNIST-v0"),  # as in the id
        (
            "glimpse_gym/MNIST-v0",
            {"split": "test", "num_glimpses": 3},
            'glimpse_gym/MNIST-v0 (num_glimpses=3, split="test")',
        ),
    ],
)
def test_describe_task(env_id, env_kwargs, text):
    assert describe_task(env_id, env_kwargs) == text


def test_picture_key():
    image = picture(0)
    assert picture_key(image) == picture_key(np.asfortranarray(image.copy()))
    assert picture_key(image) != picture_key(image.reshape(4, 16))
    changed = image.copy()
    changed[3, 4] ^= 1
    assert picture_key(image) != picture_key(changed)


def test_mean_image():
    images = [np.full((2, 2), value, np.uint8) for value in (0, 51, 102)]
    np.testing.assert_allclose(mean_image(images), np.full((2, 2), 0.2))


def test_mean_image_of_sizes_and_channels_that_differ():
    small = np.array([[0, 255]], np.uint8)
    large = np.zeros((2, 4, 3), np.uint8)
    large[1, 3] = 0, 51, 204  # mean 85
    expected = np.array([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5 + 1 / 6]])
    np.testing.assert_allclose(mean_image([small, large]), expected)


def test_guesses_after():
    trial = make_trial(guesses=(2, 0, 1))
    np.testing.assert_array_equal(trial.guesses_after(2), [2, 0])
    np.testing.assert_array_equal(trial.guesses_after(5), [2, 0, 1, 1, 1])
