"""``glimpse-gym play``: play an env in a window."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glimpse_gym.extras import require_extra


def add_play_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``play ENV``."""
    parser = add("play", play, "Play an env in a window: look with the mouse, answer with the keys.")
    parser.add_argument(
        "env", metavar="ENV", nargs="?", default="glimpse_gym/MNIST-v0", help="id of an env with hybrid actions"
    )
    parser.add_argument("--against", metavar="AGENT", help="an agent that plays every episode too, after you")
    parser.add_argument(
        "--guess-every-glimpse", action="store_true", help="give a guess after every glimpse, for an error curve"
    )
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="record finished episodes in this folder")
    parser.add_argument("--player", default="human", help="name of the player in the recording")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first episode; each later one has the next")
    parser.add_argument("--episodes", type=int, help="number of episodes (default: until the window is closed)")
    parser.add_argument("--split", help="split of the env's images (default: validation, if the env has splits)")
    parser.add_argument(
        "--env-arg", action="append", default=[], metavar="NAME=VALUE", help="keyword argument of the env"
    )
    parser.add_argument("--pace", type=float, default=4.0, help="steps per second in Catch")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the window, relative to 960 x 640")
    parser.add_argument("--fps", type=int, default=60, help="largest number of pictures per second")


def play(parsed: argparse.Namespace) -> int | None:
    """Run ``glimpse-gym play``."""
    from glimpse_gym.agents.task_envs import has_splits
    from glimpse_gym.cli.train import parse_assignments
    from glimpse_gym.play.app import play_in_window
    from glimpse_gym.play.episode import Episode, PlayEnv
    from glimpse_gym.play.game import Game, GameSettings
    from glimpse_gym.play.recording import EpisodeRecord, open_recording, save_record
    from glimpse_gym.validation import check_integer

    if not 0.1 <= parsed.pace <= 60:
        raise ValueError(f"--pace must be from 0.1 to 60 steps per second, got {parsed.pace}")
    if not 0.25 <= parsed.scale <= 8:
        raise ValueError(f"--scale must be from 0.25 to 8, got {parsed.scale}")
    num_episodes = None if parsed.episodes is None else check_integer("--episodes", parsed.episodes, at_least=1)
    check_integer("--fps", parsed.fps, at_least=1)
    env_kwargs: dict[str, Any] = parse_assignments(parsed.env_arg)
    if parsed.split is not None or has_splits(parsed.env):
        env_kwargs.setdefault("split", parsed.split or "validation")
    env = PlayEnv(parsed.env, env_kwargs)
    folder = open_recording(parsed.record) if parsed.record else None

    def record(finished: EpisodeRecord) -> None:
        if folder:
            save_record(folder, finished)

    game = Game(
        lambda seed: Episode(env, seed),
        GameSettings(parsed.seed, num_episodes, parsed.guess_every_glimpse, parsed.pace),
        player=parsed.player,
        opponent=_make_opponent(parsed.against, env) if parsed.against else None,
        on_record=record,
    )
    play_in_window(game, parsed.fps, parsed.scale)
    _print_summary(game, folder)
    return None


class _AgentOpponent:
    """An agent that plays the seeds of a person's episodes in an env of its own."""

    def __init__(self, name_or_path: str, env: Any) -> None:
        from glimpse_gym.play.agent_player import AgentPlayer

        self._player = AgentPlayer(name_or_path)
        self._player.check_env(env)
        self._env = env
        self.name = self._player.name

    def play(self, seed: int) -> Any:
        """Play one whole episode."""
        return self._player.play(self._env.env_id, self._env.env_kwargs, seed)


def _make_opponent(name_or_path: str, env: Any) -> _AgentOpponent:
    require_extra("agents")
    return _AgentOpponent(name_or_path, env)


def _print_summary(game: Any, folder: Path | None) -> None:
    for score in filter(None, (game.score, game.opponent_score)):
        if score.episodes:
            print(f"{score.name}: {score.successes} of {score.episodes}, best streak {score.best_streak}")
    if game.problem:
        print(game.problem)
    elif folder and game.records:
        print(f"recorded in {folder}: glimpse-gym replay {folder} shows it again")
