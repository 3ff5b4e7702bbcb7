"""Subcommand ``glimpse-gym search``: search for the settings of a recipe at random."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from glimpse_gym.cli.commands import INTERRUPTED
from glimpse_gym.cli.folder_options import add_run_options
from glimpse_gym.extras import require_extra


def add_search_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser; ``add`` is described in :mod:`glimpse_gym.cli`."""
    parser = add("search", _search, "Search for the settings of a recipe at random, and save all trials.")
    parser.add_argument("name", metavar="NAME", nargs="?", help="name of a search; without it, list all searches")
    parser.add_argument(
        "--num-trials", metavar="N", type=int, help="number of trials, finished ones included (default: the search's)"
    )
    add_run_options(parser, "folder of the search", "search")


def _search(parsed: argparse.Namespace) -> int | None:
    """Run a search, or list all searches."""
    from glimpse_gym.agents.experiments.search_spaces import load_search, search_names

    if parsed.name is None:
        names = search_names()
        width = max(map(len, names)) + 2
        for search in map(load_search, names):
            length = f"{search.num_trials} trials of {search.settings['num_episodes']:,} episodes"
            print(f"{search.name:<{width}}{length}: {', '.join(search.space)}")
        return None
    require_extra("agents")
    require_extra("search")
    from glimpse_gym.agents.experiments.search import run_search
    from glimpse_gym.agents.experiments.search_tables import search_caption, search_table

    try:
        result = run_search(load_search(parsed.name), parsed.runs, parsed.results, parsed.num_trials)
    except KeyboardInterrupt:  # between two trials, or a second one
        result = None
    if result is None:
        print("stopped; the same command resumes the search", file=sys.stderr)
        return INTERRUPTED
    print(f"{search_caption(result)}\n\n{search_table(result)}")
    return None
