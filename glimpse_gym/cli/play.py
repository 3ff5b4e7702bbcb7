"""Subcommand ``play``: play an env in a window, or all of them on a page in the browser."""

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

_DEFAULT_ENV = "glimpse_gym/MNIST-v0"
_MAX_FPS = 1000
# Arguments of the window, which the page does not know.
_WINDOW_ONLY = (
    *("env", "guess_every_glimpse", "seed", "episodes", "split", "record", "player", "env_arg", "pace", "scale", "fps"),
)


def add_play_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``play ENV``.

    Args:
        add: makes a subcommand's parser from its name, function and description.
    """
    parser = add("play", play, "Play an env in a window, or in the browser: look with the mouse, answer with the keys.")
    parser.add_argument(
        "env", metavar="ENV", nargs="?", help=f"id of an env with hybrid actions (default: {_DEFAULT_ENV})"
    )
    parser.add_argument("--browser", action="store_true", help="open a page with all tasks and agents in the browser")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="with --browser, write the page to this file, and do not open it"
    )
    parser.add_argument(
        "--against", metavar="AGENT", help="an agent that plays every episode too: pretrained, or the folder of a run"
    )
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
    parser.set_defaults(window_defaults={name: parser.get_default(name) for name in _WINDOW_ONLY})


def play(parsed: argparse.Namespace) -> int | None:
    """Play an env in a window, or write and open the page."""
    if parsed.browser:
        return _play_in_browser(parsed)
    if parsed.out:
        raise ValueError("--out is the file of the page: give --browser too, or --record FOLDER to record episodes")
    return _play_in_window(parsed)


def _play_in_browser(parsed: argparse.Namespace) -> int | None:
    import webbrowser

    from glimpse_gym.browser.page import write_page

    given = [name for name, default in parsed.window_defaults.items() if getattr(parsed, name) != default]
    if given:
        names = ["ENV" if name == "env" else f"--{name.replace('_', '-')}" for name in given]
        raise ValueError(
            f"--browser does not take {', '.join(names)}: choose the task on the page, or the episode by its address "
            "(#MNIST-v0/SEED), or leave --browser out"
        )
    path = write_page(parsed.out or _page_in_cache(), _agents_of_page(parsed.against))
    print(path)
    if parsed.out or webbrowser.open(path.absolute().as_uri()):
        return None
    print("no browser was found: open this file in one", file=sys.stderr)
    return FAILURE


def _page_in_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("glimpse_gym", appauthor=False, ensure_exists=True) / "play.html"


def _agents_of_page(against: str | None) -> list[str]:
    """List names or paths of the page's agents, of which it has the first for each task."""
    from glimpse_gym.agents.pretrained import pretrained_names

    return [against, *pretrained_names()] if against else pretrained_names()


def _play_in_window(parsed: argparse.Namespace) -> int | None:
    from glimpse_gym.cli.train import parse_assignments
    from glimpse_gym.play.agent_player import AgentOpponent
    from glimpse_gym.play.app import play_in_window
    from glimpse_gym.play.episode import Episode, PlayEnv
    from glimpse_gym.play.game import Game, GameSettings
    from glimpse_gym.play.recording import open_recording, save_record

    parsed.env = parsed.env or _DEFAULT_ENV
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
