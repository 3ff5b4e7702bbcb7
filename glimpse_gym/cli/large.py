"""Subcommands ``pyramid`` and ``canvas``: files of images that do not fit in memory."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def add_large_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``pyramid FILE`` and ``canvas``.

    Args:
        add: makes a subcommand's parser from its name, function and description.
    """
    parser = add(
        "pyramid", pyramid, "Build the pyramid of a large .npy or TIFF file, for the coarse scales of retinas."
    )
    parser.add_argument("file", metavar="FILE", nargs="+", help="the .npy or TIFF; FILE.pyramid is written beside it")
    parser = add("canvas", canvas, "Make a large canvas strewn with digits, with one to find in each cell of a grid.")
    parser.add_argument("--out", type=Path, default=Path("canvas.npy"), help="the .npy file to write")
    parser.add_argument(
        "--side", type=int, default=32_768, help="side in pixels: a multiple of 128 * grid, at least 256 * grid"
    )
    parser.add_argument("--grid", type=int, default=64, help="cells along each side, each an image with its own label")
    parser.add_argument("--seed", type=int, default=0, help="seed of digits and places")


def pyramid(parsed: argparse.Namespace) -> None:
    """Build the pyramids of some files."""
    from glimpse_gym.images import build_pyramid_of

    for file in parsed.file:
        print(build_pyramid_of(file, progress=True))


def canvas(parsed: argparse.Namespace) -> None:
    """Make a canvas, its labels and its pyramid."""
    from glimpse_gym.images.search_canvas import write_search_canvas

    print(*write_search_canvas(parsed.out, parsed.side, parsed.grid, parsed.seed, progress=True), sep="\n")
