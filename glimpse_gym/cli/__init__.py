"""Command line ``glimpse-gym``: the parser and the dispatch to subcommands.

Each subcommand only calls library functions: see :mod:`glimpse_gym.cli.commands`, and :mod:`glimpse_gym.cli.train`,
which generates its options from the configuration dataclasses.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import gymnasium as gym

from glimpse_gym.cli import benchmark, commands, compare, large, play, replay, search, watch
from glimpse_gym.cli.commands import FAILURE, INTERRUPTED
from glimpse_gym.cli.folder_options import add_results_option, add_run_options
from glimpse_gym.cli.trust import add_trust_option
from glimpse_gym.images.datasets import DATA_SETS, SPLITS
from glimpse_gym.interrupts import raised_interrupts
from glimpse_gym.validation import printable
from glimpse_gym.version import __version__

_EXPECTED_ERRORS = (
    *(ImportError, MemoryError, OSError, RuntimeError, TypeError, ValueError),
    gym.error.Error,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        arguments: the command line without the program name; None takes ``sys.argv[1:]``.

    Returns:
        Exit status: 0 for success; 1 for an error, with a message on stderr; 130 if stopped by Ctrl-C or SIGTERM.

    Raises:
        SystemExit: status 2 if the command line cannot be parsed; status 0 after ``--help`` and ``--version``.
    """
    # OpenMP threads that wait for each other sleep instead of spinning; see num_threads in agents/configs.py. torch
    # reads this variable when it is imported, so it is set before anything imports torch.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with raised_interrupts():
            return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    parser = _make_parser()
    parsed, rest = parser.parse_known_args(arguments)
    parsed.command_line = shlex.join(["glimpse-gym", *arguments])
    if parsed.command == "train":
        parsed.train_arguments = rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return parsed.run(parsed) or 0
    except _EXPECTED_ERRORS as error:
        if parsed.debug:
            raise
        message = "\n".join(printable(line) for line in str(error).split("\n"))  # it may quote a file
        print(f"glimpse-gym {parsed.command}: {message}", file=sys.stderr)
        return FAILURE


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glimpse-gym",
        description="Gymnasium environments seen through a retina, and agents that learn where to look.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback if there is an error")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[argparse.Namespace], int | None], text: str, add_help: bool = True
    ) -> argparse.ArgumentParser:
        child = subparsers.add_parser(name, help=text, description=text, formatter_class=_Formatter, add_help=add_help)
        child.set_defaults(run=run)
        return child

    envs = add("envs", commands.envs, "List the env ids with their spaces.")
    envs.add_argument("--docs", action="store_true", help="print the reference page of the envs, in Markdown")
    data = add("data", commands.data, "Download and verify data sets.")
    data.add_argument(
        "name", metavar="NAME", nargs="*", default=["mnist"], help=f"{', '.join(DATA_SETS)} (default: mnist)"
    )
    add("train", commands.train, "Train an agent in an env.", add_help=False)  # its own parser: cli/train.py
    _add_eval(add("eval", commands.evaluate, "Evaluate an agent on one split, and draw where it looks."))
    _add_reproduce(
        add("reproduce", commands.reproduce, "Train and evaluate an agent by a recipe, and save the result.")
    )
    card = add("card", commands.card, "Print the model card of an agent, with the header that model hubs read.")
    card.add_argument("agent", metavar="AGENT", help="name of a pretrained agent, or the folder of a training run")
    card.add_argument("--out", metavar="FILE", type=Path, help="write it to this file, such as FOLDER/README.md")
    search.add_search_command(add)
    _add_report(add("report", commands.report, "Write the results page, with its tables and figures."))
    play.add_play_command(add)
    watch.add_watch_command(add)
    replay.add_replay_command(add)
    replay.add_export_command(add)
    compare.add_compare_commands(add)
    benchmark.add_benchmark_command(add)
    large.add_large_commands(add)
    bench = add("bench", commands.bench, "Measure the speed of the worlds, of training, or against the size of images.")
    kinds = bench.add_mutually_exclusive_group()
    bench.add_argument("--seconds", type=float, default=1.0, help="duration of each measurement")
    kinds.add_argument("--train", action="store_true", help="measure training, beside its matrix products alone")
    bench.add_argument("--num-envs", type=int, default=256, help="number of sub-envs of the vector envs")
    kinds.add_argument("--sizes", action="store_true", help="measure time per glimpse against the size of the image")
    bench.add_argument("--out", type=Path, default=Path("."), help="folder of the figure of --sizes, sizes.png")
    kinds.add_argument("--save", metavar="FILE", type=Path, help="JSON file for the speeds of the worlds")
    bench.add_argument("--max-side", type=int, default=32_768, help="largest side in pixels of --sizes, a file of 1 GB")
    return parser


def _add_eval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", metavar="AGENT", help="name of a pretrained agent, or the folder of a training run")
    parser.add_argument("--split", choices=SPLITS, default="validation", help="split of the env's images")
    parser.add_argument("--seed", type=int, default=0, help="seed of canvases or games, first glimpses, and samples")
    parser.add_argument(
        "--num-episodes",
        metavar="N",
        type=int,
        help="evaluate on the first N images of the split, or N games (default: all images, or 100,000 games)",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="folder of the pictures (default: the agent's folder, or runs/NAME)"
    )
    add_trust_option(parser, "the agent")


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help="name of a recipe; without it, list all recipes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the run")
    add_run_options(parser, "run folders", "run")


def _add_report(parser: argparse.ArgumentParser) -> None:
    add_results_option(parser)
    parser.add_argument(
        "--docs", metavar="DIR", type=Path, default=Path("docs"), help="folder of the page and its figures"
    )
    parser.add_argument("--readme", metavar="FILE", type=Path, help="file whose headline table is also updated")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Append the default to the help text, unless it is None, False or a list."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shows_no_default = action.default is None or action.default is False or isinstance(action.default, list)
        return action.help if shows_no_default else super()._get_help_string(action)
