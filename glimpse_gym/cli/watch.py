"""``glimpse-gym watch``: watch an agent in a window, or save its episodes as pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glimpse_gym.play.recording import EpisodeRecord


def add_watch_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``watch AGENT``."""
    parser = add("watch", watch, "Watch an agent: where it looks, what it believes, where it may look next.")
    parser.add_argument(
        "agent", metavar="AGENT", nargs="?", default="ram-cluttered60", help="name of a pretrained agent, or a folder"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first episode; each later one has the next")
    parser.add_argument("--episodes", type=int, help="number of episodes (default: until closed; with --save, 1)")
    parser.add_argument("--split", help="split of the env's images (default: validation, if the env has splits)")
    parser.add_argument("--sample", action="store_true", help="sample locations instead of taking the mean")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="record the episodes in this folder")
    add_viewer_options(parser)


def add_viewer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``watch`` and ``replay`` share."""
    parser.add_argument("--save", type=Path, metavar="FILE", help="save as .gif, .mp4 or .png instead of a window")
    parser.add_argument("--pace", type=float, default=2.0, help="steps per second")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the window, relative to 960 x 640")


def watch(parsed: argparse.Namespace) -> int | None:
    """Run ``glimpse-gym watch``."""
    from glimpse_gym.agents.task_envs import has_splits
    from glimpse_gym.play.agent_player import AgentPlayer
    from glimpse_gym.play.recording import open_recording, save_record
    from glimpse_gym.validation import check_integer

    episodes = parsed.episodes if parsed.episodes is not None else 1 if parsed.save else None
    if episodes is not None:
        check_integer("--episodes", episodes, at_least=1)
    check_integer("--seed", parsed.seed, at_least=0)
    player = AgentPlayer(parsed.agent, parsed.sample)
    env_id, env_kwargs = player.metadata.env_id, dict(player.metadata.env_kwargs)
    if parsed.split is not None or has_splits(env_id):
        env_kwargs["split"] = parsed.split or "validation"
    folder = open_recording(parsed.record) if parsed.record else None

    def records() -> Iterator[EpisodeRecord]:
        seed = parsed.seed
        while episodes is None or seed < parsed.seed + episodes:
            record = player.play(env_id, env_kwargs, seed)
            if folder:
                save_record(folder, record)
            yield record
            seed += 1

    show_or_save(records(), parsed)
    return None


def show_or_save(records: Iterator[EpisodeRecord], parsed: argparse.Namespace) -> None:
    """Show records in a window, or save them if ``--save`` was given."""
    from glimpse_gym.play.viewer import save_records, show_records

    if not 0.1 <= parsed.pace <= 60:
        raise ValueError(f"--pace must be from 0.1 to 60 steps per second, got {parsed.pace}")
    if not 0.25 <= parsed.scale <= 8:
        raise ValueError(f"--scale must be from 0.25 to 8, got {parsed.scale}")
    if parsed.save:
        save_records(parsed.save, records, parsed.pace, parsed.scale)
        print(parsed.save)
    else:
        show_records(records, parsed.pace, parsed.scale)
