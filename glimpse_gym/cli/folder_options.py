"""Options that name the folders of runs and of their results."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_results_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--results``, the folder of result files."""
    parser.add_argument("--results", metavar="DIR", type=Path, default=Path("results"), help="folder of result files")


def add_run_options(parser: argparse.ArgumentParser, folders: str, run: str) -> None:
    """Add ``--runs`` and ``--results``.

    Args:
        parser: parser of a subcommand.
        folders: what lies in the folder of ``--runs``.
        run: what is resumed there.
    """
    parser.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        default=Path("runs"),
        help=f"parent of the {folders}; an unfinished {run} is resumed",
    )
    add_results_option(parser)
