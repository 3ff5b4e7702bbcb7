"""Subcommand ``watch``: watch an agent in a window, or save its episodes to a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from glimpse_gym.cli.trust import add_trust_option, announce_requests
from glimpse_gym.cli.window_options import (
    add_episode_options,
    add_window_options,
    check_episode_options,
    check_window_options,
    with_split,
)

if TYPE_CHECKING:
    from glimpse_gym.play.episode_record import EpisodeRecord


def add_watch_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``watch AGENT``.

    Args:
        add: makes a subcommand's parser from its name, function and description.
    """
    parser = add(
        "watch", watch, "Watch an agent: its scanpath, its class probabilities, its next-location distribution."
    )
    parser.add_argument(
        "agent", metavar="AGENT", nargs="?", default="ram-cluttered60", help="name of a pretrained agent, or a folder"
    )
    add_episode_options(parser, "until the window is closed; with --save, 1")
    parser.add_argument("--sample", action="store_true", help="sample locations instead of taking the mean")
    add_viewer_options(parser)
    add_trust_option(parser, "the agent")


def add_viewer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``watch`` and ``replay`` share."""
    parser.add_argument("--save", type=Path, metavar="FILE", help="save as .gif, .mp4 or .png instead of a window")
    add_window_options(parser, 2.0, "steps per second")


def watch(parsed: argparse.Namespace) -> None:
    """Watch an agent in a window, or save its episodes to a file."""
    from glimpse_gym.play.agent_player import AgentPlayer
    from glimpse_gym.play.recording import open_recording, save_record

    check_episode_options(parsed)
    check_window_options(parsed)
    episodes = parsed.episodes if parsed.episodes is not None else 1 if parsed.save else None
    player = AgentPlayer(parsed.agent, parsed.sample, parsed.trust)
    env_id = player.metadata.env_id
    if parsed.trust:
        announce_requests(f"the agent {player.name}", env_id, player.metadata.env_kwargs)
    env_kwargs = with_split(env_id, player.metadata.env_kwargs, parsed.split)
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


def show_or_save(records: Iterator[EpisodeRecord], parsed: argparse.Namespace) -> None:
    """Show records in a window, or save them if ``--save`` was given."""
    from glimpse_gym.play.viewer import save_records, show_records

    if parsed.save:
        save_records(parsed.save, records, parsed.pace, parsed.scale)
        print(parsed.save)
    else:
        show_records(records, parsed.pace, parsed.scale)
