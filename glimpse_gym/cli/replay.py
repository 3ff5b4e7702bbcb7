"""Subcommands ``replay`` and ``export``, which read recordings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glimpse_gym.cli.commands import FAILURE
from glimpse_gym.cli.trust import add_trust_option, announce_requests
from glimpse_gym.cli.watch import add_viewer_options, show_or_save
from glimpse_gym.cli.window_options import check_window_options
from glimpse_gym.extras import require_extra

if TYPE_CHECKING:
    from glimpse_gym.play.episode import PlayEnv
    from glimpse_gym.play.episode_record import EpisodeRecord

_HEAD = ("episode", "player", "env", "seed", "glimpses", "seconds", "answer", "truth", "result", "replay")


def add_replay_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``replay FOLDER``."""
    parser = add("replay", replay, "Play the episodes of a recording again, and check that they are bit-equal.")
    _add_folder(parser)
    parser.add_argument("--verify", action="store_true", help="only check, and print a table of the episodes")
    add_viewer_options(parser)


def add_export_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``export FOLDER --minari NAME``."""
    parser = add("export", export, "Export the episodes of a recording to a Minari data set.")
    _add_folder(parser)
    parser.add_argument("--minari", metavar="NAME", required=True, help="name of the data set, such as people-v0")
    parser.add_argument("--player", help="export the episodes of this player only")
    parser.add_argument("--author", help="author of the data set")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="folder that --record wrote")
    add_trust_option(parser, "the recording")


def replay(parsed: argparse.Namespace) -> int | None:
    """Replay the episodes of a folder: check them, print a table of them, and show them in a window or save them."""
    check_window_options(parsed)
    records, complete = load_folder(parsed.folder)
    problems = verify(records, parsed.trust)
    print(format_table(records, problems))
    if not parsed.verify:
        show_or_save(iter(records.values()), parsed)
    for path, problem in problems.items():
        print(f"{path.name}: {problem}", file=sys.stderr)
    return None if complete and not problems else FAILURE


def export(parsed: argparse.Namespace) -> int | None:
    """Export the episodes of a folder to a Minari data set."""
    require_extra("minari")
    from glimpse_gym.play.export import to_minari

    records, complete = load_folder(parsed.folder)
    players = sorted({record.player for record in records.values()})
    if parsed.player not in (None, *players):
        raise ValueError(f"{parsed.folder} holds no episodes of {parsed.player!r}; players: {', '.join(players)}")
    chosen = [record for record in records.values() if parsed.player in (None, record.player)]
    if parsed.trust:
        announce_requests("the recording", chosen[0].env_id, chosen[0].env_kwargs)
    to_minari(chosen, parsed.minari, parsed.author, parsed.trust)
    print(f"{len(chosen)} episodes exported: minari.load_dataset({parsed.minari!r})")
    return None if complete else FAILURE


def verify(records: dict[Path, EpisodeRecord], trusted: bool) -> dict[Path, str]:
    """Replay records, and return the problems of those that differ."""
    from glimpse_gym.play.episode_record import RecordError
    from glimpse_gym.play.replay import env_of_record, verify_record

    problems: dict[Path, str] = {}
    env: PlayEnv | None = None
    for path, record in records.items():
        try:
            if env is None or (env.env_id, env.env_kwargs) != (record.env_id, record.env_kwargs):
                if trusted:
                    announce_requests("the recording", record.env_id, record.env_kwargs)
                env = env_of_record(record, trusted)
            verify_record(record, env)
        except RecordError as error:
            problems[path] = str(error)
    return problems


def format_table(records: dict[Path, EpisodeRecord], problems: dict[Path, str]) -> str:
    """Text table of episodes, one line each, and a total for each player."""
    from glimpse_gym.play.comparison_files import align_columns

    rows: list[tuple[str, ...]] = [_HEAD]
    rows += [(*_row(path, record), "differs" if path in problems else "equal") for path, record in records.items()]
    lines = align_columns(rows)
    for player in dict.fromkeys(record.player for record in records.values()):
        results = [record.success for record in records.values() if record.player == player]
        lines.append(f"{player}: {sum(results)} of {len(results)} episodes successful")
    return "\n".join(lines)


def _row(path: Path, record: EpisodeRecord) -> tuple[str, ...]:
    answer, truth = "", ""
    if record.label >= 0:
        answer, truth = record.choice_names[record.choices[-1]], record.choice_names[record.label]
    seconds = "" if np.isnan(record.seconds).all() else f"{np.nansum(record.seconds):.1f}"
    env_name = record.env_id.removeprefix("glimpse_gym/")
    number, glimpses = path.name.partition("-")[0], str(record.num_glimpses)
    return number, record.player, env_name, str(record.seed), glimpses, seconds, answer, truth, record.outcome


def load_folder(folder: Path) -> tuple[dict[Path, EpisodeRecord], bool]:
    """Read a recording; damaged files are named on stderr and left out.

    Returns:
        The records, and True if no file was damaged.

    Raises:
        RuntimeError: the folder does not exist, or no episode can be read.
    """
    from glimpse_gym.play.recording import load_recording

    records, damaged = load_recording(folder)
    for error in damaged.values():
        print(f"left out: {error}", file=sys.stderr)
    if not records:
        raise RuntimeError(f"no episode of {folder} can be read")
    return records, not damaged
