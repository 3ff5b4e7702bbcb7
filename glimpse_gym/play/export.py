"""Export of recorded episodes to Minari, the standard format of data sets for offline reinforcement learning."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

from glimpse_gym.agents.task_envs import vector_env_class
from glimpse_gym.extras import require_extra
from glimpse_gym.play.episode_record import EpisodeRecord, RecordError
from glimpse_gym.provenance import require_trust


def to_minari(records: Sequence[EpisodeRecord], name: str, author: str | None = None, trusted: bool = False) -> Any:
    """Write episodes of one env to a Minari data set, in Minari's own folder (``MINARI_DATASETS_PATH``).

    Observations, actions and rewards are those that were recorded, bit for bit. ``infos`` has, at every observation,
    the label guessed after that glimpse (``guess``, -1: none), the response time of the step that followed
    (``seconds``, NaN: not measured), and the image index, the true label and the success of the episode.

    Args:
        records: at least one.
        name: of the data set, such as ``"glimpse_gym/catch/people-v0"``.
        author: of the data set.
        trusted: as in :func:`glimpse_gym.play.replay.env_of_record`.

    Returns:
        The ``minari.MinariDataset``.

    Raises:
        ModuleNotFoundError: Minari, or what it writes with, is not installed.
        RecordError: the env of the episodes cannot be made any more.
        UntrustedError: the episodes need a permission that was not given.
        ValueError: no episodes, episodes of several envs, or a name that exists or that Minari does not accept.
    """
    require_extra("minari")
    import minari
    from minari.data_collector import EpisodeBuffer

    first = _check_same_env(records)
    path = _new_dataset_path(name)
    require_trust("the recorded episode", first.env_id, first.env_kwargs, trusted)
    env = _make_env(first)
    players = ", ".join(sorted({record.player for record in records}))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="minari")  # recommends metadata that recordings do not have
            return minari.create_dataset_from_buffers(
                name,
                [EpisodeBuffer(id=number, **_columns(record)) for number, record in enumerate(records)],
                env=env,
                algorithm_name=players,
                author=author,
                description=f"{len(records)} episodes of {first.env_id}, played by {players}",
                requirements=[f"glimpse_gym=={first.versions['glimpse_gym']}"]
                if "glimpse_gym" in first.versions
                else [],
                jpeg_encoding=False,
            )
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)  # a part of the data set
        raise
    finally:
        env.close()


def _check_same_env(records: Sequence[EpisodeRecord]) -> EpisodeRecord:
    """Return the first record; raise a ValueError if there is none, or if they are of several envs."""
    envs = {f"{record.env_id} {sorted(record.env_kwargs.items())}" for record in records}
    if len(envs) != 1:
        raise ValueError(f"a Minari data set holds episodes of one env, got {'; '.join(sorted(envs)) or 'no episodes'}")
    return records[0]


def _make_env(record: EpisodeRecord) -> gym.Env[Any, Any]:
    """Make the single env of a record, whose spaces the data set stores."""
    try:
        vector_env_class(record.env_id)  # refuses other ids, such as "module:id", with which Gymnasium imports a module
        return gym.make(record.env_id, **record.env_kwargs)
    except (gym.error.Error, ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise RecordError(f"the env of the episodes, {record.env_id}, cannot be made: {error}") from error


def _new_dataset_path(name: str) -> Path:
    """Return the folder of a new data set; raise a ValueError for a name that exists or is not accepted."""
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage import get_dataset_path

    try:
        parse_dataset_id(name)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name!r} is not a name of a Minari data set: it must look like 'people-v0' or 'catch/people-v0'"
        ) from error
    path = Path(get_dataset_path(name))
    if path.exists():
        raise ValueError(f"a Minari data set {name} exists already: choose another name, or delete {path}")
    return path


def _columns(record: EpisodeRecord) -> dict[str, Any]:
    """Fields of an EpisodeBuffer: observations and infos at n + 1 times, the others at the n steps."""
    n = record.num_steps
    ends = [step == n - 1 for step in range(n)]
    return {
        "seed": record.seed,
        "observations": {
            "glimpse": record.glimpses,
            "location": record.locations,
            "time": record.times[:, None],
        },
        "actions": {"next_location": record.next_locations, record.choice_name: record.choices},
        "rewards": record.rewards.tolist(),
        "terminations": ends,
        "truncations": [False] * n,
        "infos": {
            "guess": [*record.guesses.tolist(), -1],
            "seconds": [*record.seconds.tolist(), float("nan")],
            "image_index": [record.image_index] * (n + 1),
            "label": [record.label] * (n + 1),
            "success": [record.success] * (n + 1),
        },
    }
