"""Export of recordings to Minari data sets: everything comes out again bit for bit."""

import dataclasses
import sys

import gymnasium as gym
import minari
import numpy as np
import pytest

from glimpse_gym.play.episode_record import RecordError
from glimpse_gym.play.export import to_minari
from recordings import catch_env, images_env, play


@pytest.fixture(autouse=True)
def minari_folder(monkeypatch, tmp_path):
    folder = tmp_path / "minari"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return folder


@pytest.mark.parametrize("world", ["images", "catch"])
def test_a_data_set_holds_what_was_recorded(tmp_path, world):
    env = images_env(tmp_path) if world == "images" else catch_env()
    records = [play(env, seed, player) for seed, player in ((1, "Bob"), (5, "Ann"))]
    to_minari(records, f"glimpse_gym/{world}/people-v0", author="Ann", trusted=True)
    data_set = minari.load_dataset(f"glimpse_gym/{world}/people-v0")
    assert data_set.total_episodes == 2
    assert data_set.total_steps == sum(record.num_steps for record in records)
    for episode, record in zip(data_set.iterate_episodes(), records, strict=True):
        n = record.num_steps
        for found, expected in (
            (episode.observations["glimpse"], record.glimpses),
            (episode.observations["location"], record.locations),
            (episode.observations["time"], record.times[:, None]),
            (episode.actions["next_location"], record.next_locations),
            (episode.actions[record.choice_name], record.choices),
            (episode.rewards, record.rewards),
            (episode.infos["guess"][:n], record.guesses),
            (episode.infos["seconds"][:n], record.seconds),
        ):
            assert found.dtype == expected.dtype
            assert found.shape == expected.shape
            assert found.tobytes() == expected.tobytes()
        assert episode.terminations.tolist() == [False] * (n - 1) + [True]
        assert not episode.truncations.any()
        for name in ("label", "image_index", "success"):
            assert episode.infos[name].tolist() == [getattr(record, name)] * (n + 1)


def test_the_env_of_a_data_set_is_recovered(tmp_path):
    record = play(images_env(tmp_path), seed=3)
    data_set = to_minari([record], "people-v0", trusted=True)
    assert data_set.spec.action_space["label"].n == 3
    env = minari.load_dataset("people-v0").recover_environment()
    observation, _ = env.reset(seed=3)
    np.testing.assert_array_equal(observation["glimpse"], record.glimpses[0])
    for location, label in zip(record.next_locations, record.choices, strict=True):
        observation, reward, terminated, _, _ = env.step({"next_location": location, "label": label})
    assert terminated
    assert reward == record.rewards[-1]
    assert gym.spec(record.env_id).entry_point == data_set.spec.env_spec.entry_point


def test_a_data_set_says_who_played(tmp_path):
    env = catch_env()
    to_minari([play(env, seed, player) for seed, player in enumerate(("Bob", "Ann", "Bob"))], "people-v0", "Eve")
    metadata = minari.load_dataset("people-v0").storage.metadata
    assert metadata["algorithm_name"] == "Ann, Bob"
    assert metadata["author"] == {"Eve"}
    assert metadata["description"] == "3 episodes of glimpse_gym/Catch-v0, played by Ann, Bob"


def test_a_data_set_that_exists_is_not_replaced():
    record = play(catch_env())
    to_minari([record], "people-v0")
    with pytest.raises(ValueError, match="a Minari data set people-v0 exists already: choose another name"):
        to_minari([record] * 2, "people-v0")
    assert minari.load_dataset("people-v0").total_episodes == 1


@pytest.mark.parametrize("name", ["people", "", "a b-v0", "../people-v0", "a/../b-v0"])
def test_names_that_minari_does_not_accept(name, minari_folder):
    with pytest.raises(ValueError, match="is not a name of a Minari data set: it must look like 'people-v0'"):
        to_minari([play(catch_env())], name)
    assert not minari_folder.exists() or not any(minari_folder.iterdir())


def test_episodes_of_several_envs_are_refused():
    with pytest.raises(ValueError, match="holds episodes of one env, got glimpse_gym/Catch-v0"):
        to_minari([play(catch_env()), play(catch_env(num_glimpses=4))], "people-v0")
    with pytest.raises(ValueError, match="got no episodes"):
        to_minari([], "people-v0")


def test_an_env_that_no_longer_exists():
    record = dataclasses.replace(play(catch_env()), env_id="glimpse_gym/Gone-v0")
    with pytest.raises(RecordError, match="glimpse_gym/Gone-v0, cannot be made"):
        to_minari([record], "people-v0")


def test_a_failed_export_leaves_no_data_set(monkeypatch, minari_folder):
    from minari.dataset._storages.hdf5_storage import HDF5Storage

    def refuse(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(HDF5Storage, "update_episodes", refuse)
    with pytest.raises(OSError, match="No space left"):
        to_minari([play(catch_env())], "people-v0")
    assert not (minari_folder / "people-v0").exists()


@pytest.mark.parametrize("module", ["minari", "h5py", "jax"])
def test_a_missing_package_is_named(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{module} is not installed: pip install 'glimpse_gym\[minari\]'"):
        to_minari([play(catch_env())], "people-v0")
