"""Subcommand ``play``: play an env in a window."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from glimpse_gym.cli.commands import FAILURE
from glimpse_gym.cli.window_options import (
    add_episode_options,
    add_window_options,
    check_episode_options,
    check_window_options,
    with_split,
)

if TYPE_CHECKING:
    from glimpse_gym.play.episode_record import EpisodeRecord
    from glimpse_gym.play.game import Game

_MAX_FPS = 1000


def add_play_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``play ENV``.

    Args:
        add: makes a subcommand's parser from its name, function and description.
    """
    parser = add("play", play, "Play an env in a window: look with the mouse, answer with the keys.")
    parser.add_argument(
        "env", metavar="ENV", nargs="?", default="glimpse_gym/MNIST-v0", help="id of an env with hybrid actions"
    )
    parser.add_argument("--against", metavar="AGENT", help="an agent that plays every episode after you")
    parser.add_argument(
        "--guess-every-glimpse", action="store_true", help="give a guess after every glimpse, for an error curve"
    )
    add_episode_options(parser, "until the window is closed")
    parser.add_argument("--player", metavar="NAME", default="human", help="name of the player in the recording")
    parser.add_argument(
        "--env-arg", action="append", default=[], metavar="NAME=VALUE", help="keyword argument of the env"
    )
    add_window_options(parser, 4.0, "steps per second in Catch")
    parser.add_argument("--fps", metavar="N", type=int, default=60, help="largest number of pictures per second")


def play(parsed: argparse.Namespace) -> int | None:
    """Play an env in a window."""
    from glimpse_gym.cli.train import parse_assignments
    from glimpse_gym.play.agent_player import AgentOpponent
    from glimpse_gym.play.app import play_in_window
    from glimpse_gym.play.episode import Episode, PlayEnv
    from glimpse_gym.play.game import Game, GameSettings
    from glimpse_gym.play.recording import open_recording, save_record

    check_episode_options(parsed)
    check_window_options(parsed)
    if not 1 <= parsed.fps <= _MAX_FPS:
        raise ValueError(f"--fps must be from 1 to {_MAX_FPS}, got {parsed.fps}")
    env = PlayEnv(parsed.env, with_split(parsed.env, parse_assignments(parsed.env_arg), parsed.split))
    if parsed.guess_every_glimpse and env.metadata["image_moves"]:
        raise ValueError(f"--guess-every-glimpse needs an env with still images, and those of {parsed.env} move")
    opponent = AgentOpponent(parsed.against, env) if parsed.against else None
    folder = open_recording(parsed.record) if parsed.record else None

    def record(finished: EpisodeRecord) -> None:
        if folder:
            save_record(folder, finished)

    game = Game(
        lambda seed: Episode(env, seed),
        GameSettings(parsed.seed, parsed.episodes, parsed.guess_every_glimpse, parsed.pace),
        player=parsed.player,
        opponent=opponent,
        on_record=record,
    )
    play_in_window(game, parsed.fps, parsed.scale)
    _print_summary(game, folder)
    return FAILURE if game.problem else None


def _print_summary(game: Game, folder: Path | None) -> None:
    for score in filter(None, (game.score, game.opponent_score)):
        if score.episodes:
            print(f"{score.name}: {score.successes} of {score.episodes}, best streak {score.best_streak}")
    if game.problem:
        print(game.problem, file=sys.stderr)
    elif folder and game.records:
        print(f"recorded in {folder}: glimpse-gym replay {folder} shows it again")
