"""Replay of recorded episodes: the same actions from the same seed give the same episode, bit for bit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from glimpse_gym.play.episode import Episode, PlayEnv
from glimpse_gym.play.episode_record import EpisodeRecord, RecordError
from glimpse_gym.provenance import require_trust

# Fields that verify_record compares; the player's guesses and times do not come from the env.
_REPLAYED = ("glimpses", "locations", "times", "rewards", "images", "image_index", "label", "success")


def env_of_record(record: EpisodeRecord, trusted: bool = False) -> PlayEnv:
    """Make the env of a record.

    Args:
        record: the episode.
        trusted: permits all that its ``env_kwargs`` ask for; see :func:`glimpse_gym.provenance.require_trust`.

    Raises:
        RecordError: it cannot be made any more, for example because its images have been moved.
        UntrustedError: it needs a permission that was not given.
    """
    require_trust("the recorded episode", record.env_id, record.env_kwargs, trusted)
    try:
        return PlayEnv(record.env_id, record.env_kwargs)
    except (gym.error.Error, ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise RecordError(f"the env of a recorded episode, {record.env_id}, cannot be made: {error}") from error


def replay_record(record: EpisodeRecord, env: PlayEnv | None = None, trusted: bool = False) -> Episode:
    """Repeat the actions of a record from its seed.

    Args:
        record: the episode.
        env: from :func:`env_of_record`, for this record or another one of the same env; None makes it.
        trusted: as in :func:`env_of_record`.

    Raises:
        RecordError: the env cannot be made any more, is another one than that of the record, does not accept the
            actions, or takes more memory than ``max_bytes`` of the env.
        UntrustedError: as in :func:`env_of_record`.
    """
    try:
        episode = Episode(env or env_of_record(record, trusted), record.seed)
        _check_same_task(record, episode)
        for next_location, choice in zip(record.next_locations, record.choices, strict=True):
            episode.step(next_location, int(choice))
    except (gym.error.Error, ValueError) as error:
        raise RecordError(
            f"the episode with seed {record.seed} of {record.env_id} cannot be replayed: {error}"
        ) from error
    return episode


def _check_same_task(record: EpisodeRecord, episode: Episode) -> None:
    """Raise ValueError if the env differs from that of the record in what costs memory, before it is stepped."""
    metadata = episode.env.metadata
    expected = {
        "patch_size": (metadata["patch_size"], record.patch_size),
        "num_scales": (metadata["num_scales"], record.num_scales),
        "image_moves": (metadata["image_moves"], record.image_moves),
        "image_size": (episode.image_size, record.image_size),
        "num_glimpses": (metadata["num_glimpses"], record.num_steps),
    }
    if differences := [f"{name} {new}, not {old}" for name, (new, old) in expected.items() if new != old]:
        raise ValueError(f"its env has {'; '.join(differences)}: the record, the images or the package have changed")


def verify_record(record: EpisodeRecord, env: PlayEnv | None = None, trusted: bool = False) -> None:
    """Replay a record, and compare all observations, rewards, images and the result bit for bit.

    Args:
        record: the episode.
        env: as in :func:`replay_record`.
        trusted: as in :func:`env_of_record`.

    Raises:
        RecordError: the env cannot be made any more, or the episode differs.
        UntrustedError: as in :func:`env_of_record`.
    """
    episode = replay_record(record, env, trusted)
    differences = ["length"]
    if episode.over:
        found = episode.record(record.player)
        differences = [name for name in _REPLAYED if not _equal(getattr(found, name), getattr(record, name))]
    if differences:
        versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        raise RecordError(
            f"the episode with seed {record.seed} of {record.env_id} differs when it is replayed "
            f"({', '.join(differences)}): the record, the images or the package have changed; recorded with {versions}"
        )


def _equal(a: Any, b: Any) -> bool:
    """Return whether two values are equal, arrays bit for bit."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)
