"""Option ``--trust``: permission for what agents and recordings from others ask the program to do."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from glimpse_gym.provenance import describe_requests


def add_trust_option(parser: argparse.ArgumentParser, owner: str) -> None:
    """Add ``--trust``; ``owner`` is whose requests it permits."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help=f"permit what {owner} may ask for: to open files, to download a data set, to take more memory",
    )


def announce_requests(owner: str, env_id: str, env_kwargs: dict[str, Any]) -> None:
    """Say on stderr what is about to be done because ``--trust`` permits it."""
    for request in describe_requests(env_id, env_kwargs):
        print(f"{owner} asks to {request}: permitted", file=sys.stderr)
