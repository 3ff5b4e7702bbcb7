"""Matplotlib figures for papers, in one style: scanpaths, belief over time, heat maps, error against glimpses.

Every function returns a :class:`matplotlib.figure.Figure`, and :func:`save_figure` writes it as SVG or PNG. Colors are
those of Okabe and Ito, distinct for color-blind readers.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.retina import Retina

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
GRAY = "#999999"
_MARKERS, _DASHES = "osD^vPX*", ("--", ":", "-.")
_BAR_COLORS = (
    *((COLORS[0], "white"), (COLORS[1], "white"), (COLORS[2], "white"), (COLORS[3], "black")),
    *((COLORS[4], "black"), (COLORS[5], "black"), (COLORS[7], "black")),
)
"""Colors of bars and of the text in them."""
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "glimpse_gym",  # equal figures give equal files
}
LITERAL_STYLE: Any = STYLE | {"text.parse_math": False}
"""The style of figures that show names of players, classes or files, where "$" is no formula."""
_in_style = rc_context(LITERAL_STYLE)
_HEAT = LinearSegmentedColormap.from_list(
    "heat", [(1.0, 1.0, 1.0, 0.0), (0.9, 0.62, 0.0, 0.6), (0.84, 0.37, 0.0, 0.85), (0.35, 0.1, 0.0, 0.95)]
)
_KERNEL_WIDTH = 0.1  # standard deviation of the Gaussian kernel of heat maps; the image is 2 wide
_HEAT_SIDE = 100  # cells of a heat map per side
_EXTENT = -1.0, 1.0, 1.0, -1.0  # left, right, bottom, top: axes in locations
_LABELED = 0.08  # smallest probability whose bar is labeled


class ErrorCurve(NamedTuple):
    """Error of one player after each glimpse, as fractions."""

    name: str
    errors: Sequence[float]
    """Errors after 1, 2, ... glimpses; NaN where unknown."""
    low: Sequence[float]
    """Lower ends of the intervals."""
    high: Sequence[float]
    """Upper ends of the intervals."""
    task: str = ""
    """Title of the panel."""
    is_baseline: bool = False


class HeatMap(NamedTuple):
    """One panel of :func:`fixation_heat_maps`."""

    title: str
    image: np.ndarray
    """Image to draw it over, float (H, W) in [0, 1]."""
    locations: np.ndarray
    """float (n, 2) in [-1, 1], the fixations."""


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> list[Path]:
    """Write a figure as SVG or PNG, atomically.

    Args:
        figure: any figure.
        path: ends in .svg or .png; without an ending, both are written.

    Returns:
        The files.

    Raises:
        ValueError: another ending.
        OSError: a file cannot be written; an existing one is then unchanged.
    """
    path = Path(path)
    if path.suffix not in ("", ".svg", ".png"):
        raise ValueError(f"figures are written as .svg or .png, or both without an ending; got {path.name!r}")
    paths = [path] if path.suffix else [path.with_suffix(suffix) for suffix in (".svg", ".png")]
    for each in paths:
        metadata = {"Date": None} if each.suffix == ".svg" else {}
        with atomic_write(each) as temporary, rc_context(STYLE):
            figure.savefig(temporary, dpi=200, metadata=metadata, facecolor="white")
    return paths


@_in_style
def error_against_glimpses(curves: Sequence[ErrorCurve], *, note: str = "") -> Figure:
    """Error after each glimpse: a line with intervals for each player, a panel for each task.

    A player has the same color in all panels. Baselines are gray and dashed.

    Args:
        curves: at least one.
        note: text below, such as what the intervals are.

    Raises:
        ValueError: no curves.
    """
    if not curves:
        raise ValueError("there are no curves to draw")
    tasks = list(dict.fromkeys(curve.task for curve in curves))
    styles = _line_styles(curves)
    figure = Figure(figsize=(1.2 + 3.6 * len(tasks), 4.2), layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    handles = {}
    for axes, task in zip(panels, tasks, strict=True):
        shown = [curve for curve in curves if curve.task == task]
        for i, curve in enumerate(shown):
            handles[curve.name] = _plot_curve(axes, curve, styles[curve.name], 0.07 * (i - (len(shown) - 1) / 2))
        axes.set(xlabel="glimpses", ylim=(0, None))
        axes.set_title(textwrap.fill(task, 42), fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid()
    panels[0].set_ylabel("error, %")
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=1 + len(tasks))
    _add_note(figure, note)
    return figure


def _line_styles(curves: Sequence[ErrorCurve]) -> dict[str, dict[str, Any]]:
    """Color, line style and marker of each name."""
    styles: dict[str, dict[str, Any]] = {}
    for is_baseline in (False, True):
        for i, name in enumerate(dict.fromkeys(curve.name for curve in curves if curve.is_baseline == is_baseline)):
            color, line = (GRAY, _DASHES[i % len(_DASHES)]) if is_baseline else (COLORS[i % len(COLORS)], "-")
            styles[name] = {"color": color, "ls": line, "marker": "." if is_baseline else _MARKERS[i % len(_MARKERS)]}
    return styles


def _plot_curve(axes: Axes, curve: ErrorCurve, style: dict[str, Any], offset: float) -> Line2D:
    """Draw one curve, moved to the right by ``offset`` so that its intervals can be told from those of others."""
    x = np.arange(1, len(curve.errors) + 1) + offset
    errors, low, high = (100 * np.asarray(values, float) for values in (curve.errors, curve.low, curve.high))
    axes.vlines(x, low, high, color=style["color"], lw=1, alpha=0.6)
    (line,) = axes.plot(x, errors, ms=4, lw=1.4, clip_on=False, **style)
    return line


@_in_style
def belief_over_time(
    image: np.ndarray,
    locations: np.ndarray,
    retina: Retina,
    probs: np.ndarray,
    class_names: Sequence[str],
    *,
    label: int | None = None,
    title: str = "",
) -> Figure:
    """Class probabilities after each glimpse at one image as stacked bars, with the glimpses above.

    Args:
        image: uint8 (H, W) or (H, W, C).
        locations: float (T, 2) in [-1, 1].
        retina: the retina that took the glimpses.
        probs: float (T, K), probabilities of the classes after each glimpse.
        class_names: K names.
        label: true class, whose bars lie at the bottom, framed; None if unknown.
        title: text above.

    Raises:
        ValueError: shapes that do not fit.
    """
    num_glimpses, num_classes = len(locations), len(class_names)
    if probs.shape != (num_glimpses, num_classes) or not num_glimpses:
        raise ValueError(
            f"probs must be of shape {(num_glimpses, num_classes)}, one row for each glimpse and one column for each "
            f"class, with at least one glimpse; got {probs.shape}"
        )
    figure = Figure(figsize=(1.0 + 0.95 * max(num_glimpses, 3), 4.0), layout="constrained")
    grid = figure.add_gridspec(2, num_glimpses, height_ratios=(1, 2.6))
    for t in range(num_glimpses):
        _draw_seen(figure.add_subplot(grid[0, t]), image, locations[: t + 1], retina)
    axes = figure.add_subplot(grid[1, :])
    _draw_belief(axes, probs, class_names, label)
    figure.suptitle(title, fontsize=10)
    return figure


def _draw_seen(axes: Axes, image: np.ndarray, locations: np.ndarray, retina: Retina) -> None:
    """Draw an image, faint where it was not seen, with the patches of the last glimpse."""
    pixels = image if image.ndim == 2 else image[..., :3] if image.shape[2] >= 3 else image[..., 0]
    size = image.shape[0], image.shape[1]
    seen = np.zeros(size, np.bool_)
    for location in locations:
        row, column = retina.patch_corner(location, size, retina.num_scales - 1)
        side = retina.patch_side(retina.num_scales - 1)
        seen[max(row, 0) : max(row + side, 0), max(column, 0) : max(column + side, 0)] = True
    shown = pixels / 255 if pixels.ndim == 3 else np.repeat(pixels[..., None] / 255, 3, axis=2)
    axes.imshow(np.where(seen[..., None], shown, 0.35 + 0.25 * shown), interpolation="nearest")
    for scale in range(retina.num_scales):
        row, column = retina.patch_corner(locations[-1], size, scale)
        side = retina.patch_side(scale)
        color = COLORS[4 if scale == 0 else 5]
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), side, side, fill=False, ec=color, lw=1.2))
    axes.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=GRAY, lw=0.6)


def _draw_belief(axes: Axes, probs: np.ndarray, class_names: Sequence[str], label: int | None) -> None:
    """Draw stacked bars: the true class at the bottom, then the others by their largest probability."""
    by_peak = [int(k) for k in np.argsort(-probs.max(axis=0), kind="stable")]
    order = [k for k in by_peak if k == label] + [k for k in by_peak if k != label]
    named = [k for k in order if probs[:, k].max() >= _LABELED][: len(_BAR_COLORS)]
    x, bottom = np.arange(1, len(probs) + 1), np.zeros(len(probs))
    for k, (color, text_color) in zip(named, _BAR_COLORS, strict=False):
        axes.bar(x, probs[:, k], 0.8, bottom, color=color, ec="white", lw=0.5)
        for t in np.flatnonzero(probs[:, k] >= _LABELED):
            weight = "bold" if k == probs[t].argmax() else "normal"
            middle = bottom[t] + probs[t, k] / 2
            axes.text(x[t], middle, class_names[k], ha="center", va="center", color=text_color, weight=weight)
        bottom += probs[:, k]
    axes.bar(x, np.maximum(1 - bottom, 0), 0.8, bottom, color="#DDDDDD")
    if label is not None:
        axes.bar(x, probs[:, label], 0.8, fill=False, ec="black", lw=1.5, zorder=3)
    truth = "" if label is None else f"framed: {class_names[label]}, the true class; "
    axes.set(xlim=(0.5, len(probs) + 0.5), ylim=(0, 1.02), ylabel="probability")
    axes.set_xlabel(f"glimpses  ({truth}gray: all other classes)")
    axes.set_xticks(x)


@_in_style
def fixation_heat_maps(maps: Sequence[HeatMap], *, columns: int = 5, title: str = "", note: str = "") -> Figure:
    """Density of fixations over images, relative to that of uniformly random places, with one color scale.

    The density is smoothed with a Gaussian kernel whose standard deviation is a twentieth of the image's width.

    Args:
        maps: at least one panel.
        columns: number of panels per row.
        title: text above.
        note: text below.

    Raises:
        ValueError: no panels.
    """
    if not maps:
        raise ValueError("there are no heat maps to draw")
    columns = min(columns, len(maps))
    rows = math.ceil(len(maps) / columns)
    figure = Figure(figsize=(1.7 * columns + 1.1, 1.9 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    densities = [fixation_density(each.locations) for each in maps]
    highest = max(float(density.max()) for density in densities) or 1.0
    for axes in panels:
        axes.set_axis_off()
    for axes, each, density in zip(panels, maps, densities, strict=False):
        axes.imshow(1 - 0.45 * each.image, cmap="gray", vmin=0, vmax=1, extent=_EXTENT, interpolation="nearest")
        axes.imshow(density, cmap=_HEAT, vmin=0, vmax=highest, extent=_EXTENT, interpolation="bilinear")
        axes.set_title(f"{textwrap.fill(each.title, 26)}\n{len(each.locations)} fixations", fontsize=8)
        axes.set_aspect(each.image.shape[0] / each.image.shape[1])
        axes.add_patch(Rectangle((-1, -1), 2, 2, fill=False, ec=GRAY, lw=0.8))
    scale = ScalarMappable(Normalize(0, highest), _HEAT)
    bar = figure.colorbar(scale, ax=panels.tolist(), shrink=0.7, aspect=25)
    bar.set_label("density of fixations\n(uniformly random places: 1)", fontsize=8)
    figure.suptitle(title, fontsize=10)
    _add_note(figure, note)
    return figure


def fixation_density(locations: np.ndarray, side: int = _HEAT_SIDE) -> np.ndarray:
    """Smoothed density of fixations, relative to uniform; what the kernel spreads beyond the image is lost.

    Args:
        locations: float (n, 2) in [-1, 1].
        side: number of cells per row and column.

    Returns:
        float (side, side), rows from the top; all 0 without fixations.
    """
    centers = (2 * np.arange(side) + 1) / side - 1
    offsets = (centers - np.asarray(locations, float).reshape(-1, 2)[:, :, None]) / _KERNEL_WIDTH  # (n, 2, side)
    kernels = np.exp(-(offsets**2) / 2) / (_KERNEL_WIDTH * np.sqrt(2 * np.pi))
    area = 4  # of the image, in locations
    return area * np.einsum("nr,nc->rc", kernels[:, 1], kernels[:, 0]) / max(len(kernels), 1)


def _add_note(figure: Figure, note: str) -> None:
    """Add a note in small text at the bottom, wrapped to the width of the figure."""
    if note:
        width, height = figure.get_size_inches()
        lines = [line for part in note.splitlines() for line in textwrap.wrap(part, int(19 * width))]
        figure.set_size_inches(width, height + 0.12 * len(lines))
        figure.supxlabel("\n".join(lines), fontsize=7, color="#555555", ha="left", x=0.01)
