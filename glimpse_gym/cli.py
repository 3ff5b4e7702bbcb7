"""The command line: each subcommand is a few lines that call a library function."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium as gym

from glimpse_gym.images.datasets import DATA_SETS, SPLITS, fetch
from glimpse_gym.registration import ENV_IDS, describe_envs, document_envs
from glimpse_gym.version import __version__

# Exit statuses: 1, something is wrong and the message says what; 130, stopped by Ctrl-C, as shells have it.
_WRONG, _INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit status."""
    # Threads that wait for each other shall sleep, not spin: two busy cores with two spinning threads of torch
    # bring training to a near halt. Read when torch is loaded, so it is set before any of that.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = sys.argv[1:] if arguments is None else arguments
    parsed = _parser().parse_args(arguments, argparse.Namespace(typed=shlex.join(["glimpse-gym", *arguments])))
    try:
        return parsed.run(parsed) or 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return _INTERRUPTED
    except (MemoryError, ModuleNotFoundError, OSError, RuntimeError, TypeError, ValueError, gym.error.Error) as error:
        if parsed.debug:
            raise
        said = str(error)
        if isinstance(error, ModuleNotFoundError):
            said = f"{error.name} is not installed: pip install 'glimpse_gym[agents]'"
        print(f"glimpse-gym {parsed.command}: {said}", file=sys.stderr)
        return _WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glimpse-gym", description="Worlds seen through a retina, and agents that learn where to look."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        child = commands.add_parser(name, help=text, description=text, formatter_class=_Help)
        child.set_defaults(run=run)
        return child

    envs = command("envs", _envs, "List the ids with their spaces.")
    envs.add_argument("--docs", action="store_true", help="print the page of docs on them instead, in Markdown")
    data = command("data", _data, "Fetch and verify a data set, and say where it lies.")
    data.add_argument("name", nargs="*", default=["mnist"], help=f"any of {', '.join(DATA_SETS)}")
    _add_train(command("train", _train, "Train the recurrent attention model in an env, to name images or to play."))
    _add_eval(command("eval", _eval, "Measure an agent's error after each glimpse, and draw where it looks."))
    _add_reproduce(command("reproduce", _reproduce, "Train by a recipe, measure on the test split, keep the result."))
    _add_report(command("report", _report, "Make the page of results, its tables and its figures, out of the results."))
    bench = command("bench", _bench, "Measure speeds, as ratios to Gymnasium's CartPole in the same run.")
    bench.add_argument("--seconds", type=float, default=1.0, help="how long each measurement takes")
    bench.add_argument("--num-envs", type=int, default=256, help="sub-envs of the vector envs")
    return parser


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, []) else super()._get_help_string(action)


def _envs(parsed: argparse.Namespace) -> None:
    print(document_envs() if parsed.docs else describe_envs())


def _data(parsed: argparse.Namespace) -> None:
    for name in parsed.name:
        print(f"{name}: whole and verified in {fetch(name)}")


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "env", metavar="ENV", nargs="?", help="the id of an env in the hybrid form, such as glimpse_gym/MNIST-v0"
    )
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/ENV-seedSEED)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder, if there is one")
    parser.add_argument(
        "--env-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a keyword value of the env, such as num_glimpses=6 or images=FOLDER (VALUE is JSON, or else a string)",
    )
    parser.add_argument(
        "--augment",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a keyword value of the env that holds in training only, such as rotation=[-10,10]",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KNOB=VALUE",
        help="change a knob of the training or of the model; 'glimpse-gym train ENV --knobs' lists them",
    )
    parser.add_argument("--knobs", action="store_true", help="list the knobs with their defaults, and stop")


def _train(parsed: argparse.Namespace) -> int | None:
    from glimpse_gym.agents.trainer import Run, default_configs

    if parsed.env is None:
        raise ValueError(f"name an env to train in: {', '.join(ENV_IDS)}")
    train_config, ram_config = default_configs(parsed.env)
    if parsed.knobs:
        for config in (train_config, ram_config):
            for knob in fields(config):
                print(f"{knob.name} = {getattr(config, knob.name)!r}\n    {knob.metadata['help']}")
        return None
    values = _assignments(parsed.set)
    ram_values = {knob.name: values.pop(knob.name) for knob in fields(ram_config) if knob.name in values}
    if unknown := values.keys() - {knob.name for knob in fields(train_config)}:
        raise ValueError(f"unknown knobs {sorted(unknown)}; --knobs lists what there is")
    train_config, ram_config = replace(train_config, **values), replace(ram_config, **ram_values)
    folder = parsed.out or Path("runs", f"{parsed.env.rpartition('/')[2]}-seed{train_config.seed}")
    run = Run(
        folder,
        parsed.env,
        _assignments(parsed.env_arg),
        train_config,
        ram_config,
        resume=parsed.resume,
        augmentation=_assignments(parsed.augment),
        command=parsed.typed,
    )
    if not run.train():
        print(
            f"stopped after {run.learner.episodes_seen} episodes; the same command with --resume goes on",
            file=sys.stderr,
        )
        return _INTERRUPTED
    print(f"{run.summary()}\nThe agent, its log and its curve (curve.png) are in {folder}")
    return None


def _add_eval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", metavar="AGENT", help="a shipped agent's name, or the folder of a trained one")
    parser.add_argument("--split", choices=SPLITS, default="validation", help="of the env's images")
    parser.add_argument("--seed", type=int, default=0, help="of canvases, first glimpses and samples")
    parser.add_argument(
        "--num-episodes", type=int, help="only the first so many of the split (default: all, or 100,000 games)"
    )
    parser.add_argument("--out", type=Path, help="where the pictures go (default: the agent's, or runs/NAME)")


def _eval(parsed: argparse.Namespace) -> None:
    from glimpse_gym.agents.checkpoint import add_scores, load_agent
    from glimpse_gym.agents.pretrained import SHIPPED, agent_folder
    from glimpse_gym.agents.scanpaths import evaluate_all, save_pictures, table

    source = agent_folder(parsed.agent)
    is_shipped = source.parent == SHIPPED
    agent, card = load_agent(source)
    scores = evaluate_all(agent, card, parsed.split, parsed.seed, parsed.num_episodes)
    print(f"{card.env_id}: error in % after each glimpse, on {scores[0].num_episodes} episodes")
    print(table(scores))
    if not is_shipped:
        add_scores(source, card, [score._asdict() for score in scores])
    folder = parsed.out or (Path("runs", source.name) if is_shipped else source)
    for path in save_pictures(folder, agent, card, parsed.split, parsed.seed):
        print(path)


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help="its name; without one, all are listed")
    parser.add_argument("--seed", type=int, default=0, help="of the run")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="where runs are kept; an unfinished one goes on"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="where results are kept")


def _reproduce(parsed: argparse.Namespace) -> int | None:
    from glimpse_gym.agents.evaluation import Score
    from glimpse_gym.agents.experiments.recipes import load_recipe, recipe_names
    from glimpse_gym.agents.experiments.results import reproduce
    from glimpse_gym.agents.scanpaths import table

    if parsed.recipe is None:
        for name in recipe_names():
            recipe = load_recipe(name)
            length = f"{recipe.training.num_episodes:,} episodes" if recipe.training else "not trained"
            print(f"{name:<28}{recipe.model}, in {recipe.env_id}, {length}")
        return None
    result = reproduce(load_recipe(parsed.recipe), parsed.seed, parsed.runs, parsed.results)
    if result is None:
        print("stopped; the same command goes on", file=sys.stderr)
        return _INTERRUPTED
    scores = [Score(**score) for score in result.scores]
    print(f"{result.recipe}, seed {result.seed}: error in % after each glimpse\n{table(scores)}")
    return None


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, default=Path("results"), help="where results are kept")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the page and its figures go")
    parser.add_argument("--readme", type=Path, help="a file whose headline table is made anew too")


def _report(parsed: argparse.Namespace) -> None:
    from glimpse_gym.agents.experiments.report import write_page

    for path in write_page(parsed.results, parsed.docs, parsed.readme):
        print(path)


def _bench(parsed: argparse.Namespace) -> None:
    from glimpse_gym.bench import bench

    for line in bench(parsed.seconds, parsed.num_envs):
        print(line, flush=True)


def _assignments(pairs: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs as a dict; a VALUE that is no JSON is a string."""
    values = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not (name and sign):
            raise ValueError(f"expected NAME=VALUE, got {pair!r}")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values
