"""Replay of recorded episodes, bit for bit, and records that cannot be replayed."""

import dataclasses

import numpy as np
import pytest

import glimpse_gym
from glimpse_gym.play import episode
from glimpse_gym.play.recording import RecordError, load_record, save_record
from glimpse_gym.play.replay import env_of_record, replay_record, verify_record
from recordings import catch_env, images_env, play
from runs import CATCH


@pytest.mark.parametrize("seed", range(3))
def test_a_record_comes_out_again(tmp_path, seed):
    for env in (images_env(tmp_path, canvas_size=20, num_clutter=2), catch_env(), catch_env(observe="screen")):
        record = load_record(save_record(tmp_path, play(env, seed)))
        verify_record(record, trusted=True)
        assert replay_record(record, trusted=True).over


@pytest.mark.parametrize("name", ["glimpses", "locations", "times", "rewards", "images"])
def test_a_changed_bit_is_noticed(name):
    record = play(catch_env())
    array = getattr(record, name).copy()
    array.view(np.uint8).reshape(-1)[-1] ^= 1
    message = rf"seed 0 of {CATCH} differs when it is replayed \({name}\).*glimpse_gym {glimpse_gym.__version__}"
    with pytest.raises(RecordError, match=message):
        verify_record(dataclasses.replace(record, **{name: array}), trusted=True)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"success": None}, {"label": 1}, {"image_index": 0}], ids=str)
def test_other_metadata_is_noticed(changes):
    record = play(catch_env())
    with pytest.raises(RecordError, match="differs when it is replayed"):
        verify_record(dataclasses.replace(record, **changes), trusted=True)


def test_a_record_that_is_too_short_or_too_long_is_noticed():
    record = play(catch_env())
    short = {"next_locations": record.next_locations[:-1], "choices": record.choices[:-1]}
    with pytest.raises(RecordError, match=r"\(length\)"):
        verify_record(dataclasses.replace(record, **short), trusted=True)
    long = {name: np.concatenate([getattr(record, name)] * 2) for name in short}
    with pytest.raises(RecordError, match="cannot be replayed: the episode is over"):
        verify_record(dataclasses.replace(record, **long), trusted=True)


def test_images_that_are_gone_or_changed_are_noticed(tmp_path):
    env = images_env(tmp_path)
    record = play(env)
    path, changed = tmp_path / "images.npz", tmp_path / "changed.npz"
    with np.load(path) as file:
        np.savez(changed, images=255 - file["images"], labels=file["labels"])
    with pytest.raises(RecordError, match="the record, the images or the package have changed"):
        verify_record(
            dataclasses.replace(record, env_kwargs=record.env_kwargs | {"images": str(changed)}), trusted=True
        )
    path.unlink()
    with pytest.raises(RecordError, match=r"Images-v0, cannot be made: .*images\.npz"):
        verify_record(record, trusted=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env_id": "glimpse_gym/Gone-v0"}, r"glimpse_gym/Gone-v0, cannot be made"),
        ({"env_id": "CartPole-v1"}, "CartPole-v1, cannot be made: .*not a glimpse_gym env"),
        ({"env_kwargs": {"color": 1}}, "cannot be made: .*unexpected keyword argument 'color'"),
        ({"seed": -1}, "cannot be replayed: seed must be"),
    ],
)
def test_envs_that_no_longer_exist(changes, message):
    record = play(catch_env())
    with pytest.raises(RecordError, match=message):
        verify_record(dataclasses.replace(record, **changes), trusted=True)


def test_records_of_one_env_share_it():
    records = [play(catch_env(), seed) for seed in range(3)]
    env = env_of_record(records[0])
    for record in records:
        verify_record(record, env)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 3}, "patch_size 6, not 3"),
        ({"num_scales": 1}, "num_scales 3, not 1"),
        ({"image_size": (9, 9)}, r"image_size \(6, 6\), not \(9, 9\)"),
        ({"image_moves": False}, "image_moves True, not False"),
        ({"env_kwargs": {"num_glimpses": 700}}, r"image_size \(701, 701\), not .*num_glimpses 700, not 5"),
    ],
    ids=lambda value: f"{value!s:.30}",
)
def test_an_env_that_does_not_fit_the_record_is_not_stepped(monkeypatch, changes, message):
    record = dataclasses.replace(play(catch_env()), **changes)
    monkeypatch.setattr(episode.Episode, "step", lambda *args: pytest.fail("the env was stepped"))
    with pytest.raises(RecordError, match=f"cannot be replayed: its env has .*{message}"):
        replay_record(record, trusted=True)


def test_an_episode_that_takes_too_much_memory_is_not_replayed(monkeypatch):
    record = play(catch_env())
    monkeypatch.setattr(episode, "MAX_BYTES", 5000)
    with pytest.raises(RecordError, match=r"cannot be replayed: .*num_glimpses=5 take [\d,]+ bytes.*max_bytes=5,000"):
        replay_record(record)
