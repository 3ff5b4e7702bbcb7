"""Results as figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glimpse_gym.agents.experiments.literature import PAPER, PAPER_CATCH
from glimpse_gym.agents.experiments.results import Result
from glimpse_gym.agents.experiments.tables import TASK_NAMES, error_curves, of_recipe
from glimpse_gym.atomic_io import atomic_write

# Okabe and Ito's colors, which color-blind people tell apart.
_COLORS = {"learned": "#0072B2", "random": "#E69F00", "center": "#999999", "paper": "#D55E00", "image": "#009E73"}
_NAMES = {"learned": "RAM, own places", "random": "the same, random places", "center": "the same, the center"}


def save_figures(folder: Path, results: Sequence[Result]) -> list[Path]:
    """Draw, in a folder that is there, all that there are results for."""
    there = [task for task in TASK_NAMES if of_recipe(results, f"ram-{task}")]
    of_images = [task for task in there if task in PAPER]
    elsewhere = [task for task in of_images if _changes(results, task)]
    return [
        _save(folder / f"{name}.png", draw, tasks, results)
        for name, draw, tasks in (
            ("error-by-glimpses", _error_by_glimpses, of_images),
            ("error-by-values", _error_by_values, of_images),
            ("learning", _learning, of_images),
            ("catch", _catch, [task for task in there if task == "catch"]),
            ("elsewhere", _elsewhere, elsewhere),
        )
        if tasks
    ]


def _save(path: Path, draw: Callable[..., Figure], tasks: Sequence[str], results: Sequence[Result]) -> Path:
    with atomic_write(path) as temporary:
        draw(tasks, results).savefig(temporary, dpi=110)
    return path


def _panels(number: int, width: float = 3.6, height: float = 3.5, **kwargs: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * number, height), layout="constrained")
    axes = figure.subplots(1, number, squeeze=False, **kwargs)[0]
    for panel in axes:
        panel.grid(alpha=0.3, which="both")
    return figure, list(axes)


def _legend_below(figure: Figure) -> None:
    """One legend for all panels, each label once."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=6, fontsize="small")


def _in_per_cent(axes: Axes, what: str) -> None:
    axes.set_yscale("log")
    axes.set_ylabel(f"{what}, %")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "2357" else "")


def _plot_errors(axes: Axes, found: Sequence[Result], per_glimpse: int) -> None:
    """The errors of a RAM after each glimpse, which is so much to the right; the mean over seeds."""
    for locations in ("learned", "random", "center"):
        curve = error_curves(found, locations).mean(axis=0)
        right = per_glimpse * np.arange(1, len(curve) + 1)
        axes.plot(right, curve, ".-", color=_COLORS[locations], label=_NAMES[locations])


def _error_by_glimpses(tasks: Sequence[str], results: Sequence[Result]) -> Figure:
    figure, panels = _panels(len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        _plot_errors(axes, of_recipe(results, f"ram-{task}"), per_glimpse=1)
        axes.plot(*zip(*PAPER[task].items(), strict=True), "x", color=_COLORS["paper"], label="RAM in the paper")
        if whole := of_recipe(results, f"cnn-{task}"):
            axes.axhline(error_curves(whole).mean(), color=_COLORS["image"], ls="--", label="CNN, whole image")
        axes.set(xlabel="glimpses", title=TASK_NAMES[task])
        _in_per_cent(axes, "test error")
    _legend_below(figure)
    return figure


def _error_by_values(tasks: Sequence[str], results: Sequence[Result]) -> Figure:
    figure, panels = _panels(len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        found = of_recipe(results, f"ram-{task}")
        _plot_errors(axes, found, found[0].values_per_glimpse)
        for recipe, marker in (("fc256", "s"), ("conv", "^"), ("cnn", "D")):
            if whole := of_recipe(results, f"{recipe}-{task}"):
                point = whole[0].values_per_glimpse, error_curves(whole).mean()
                axes.plot(*point, marker, color=_COLORS["image"], label=f"{whole[0].model}, whole image")
        axes.set(xlabel="values sensed", title=TASK_NAMES[task], xscale="log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:,.0f}" if f"{x:e}"[0] in "25" else "")
        _in_per_cent(axes, "test error")
    _legend_below(figure)
    return figure


def _learning(tasks: Sequence[str], results: Sequence[Result]) -> Figure:
    figure, panels = _panels(len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        for recipe, name, color in (("ram", "RAM, ours", "learned"), ("paper", "RAM, as in the paper", "paper")):
            for i, result in enumerate(of_recipe(results, f"{recipe}-{task}")):
                episodes = [record["episodes"] / 1e6 for record in result.history]
                errors = [100 * record["validation_error"] for record in result.history]
                axes.plot(episodes, errors, color=_COLORS[color], label=None if i else name, lw=1)
        axes.set(xlabel="million episodes", title=TASK_NAMES[task])
        _in_per_cent(axes, "validation error")
    _legend_below(figure)
    return figure


def _catch(tasks: Sequence[str], results: Sequence[Result]) -> Figure:
    figure, (learning, gaze) = _panels(2, width=4.6)
    for recipe, name, color in (
        ("ram-catch", "through the retina", "learned"),
        ("screen-catch", "the whole screen", "image"),
    ):
        for i, result in enumerate(of_recipe(results, recipe)):
            frames_per_game = result.frames / result.episodes
            frames = [record["episodes"] * frames_per_game / 1e6 for record in result.history]
            caught = [100 * (1 - record["validation_error"]) for record in result.history]
            learning.plot(frames, caught, color=_COLORS[color], label=None if i else name)
            if result.gaze and recipe == "ram-catch":
                gaze.plot(range(len(result.gaze)), result.gaze, ".-", color=_COLORS[color])
    learning.plot(20, 100 - PAPER_CATCH.error, "x", color=_COLORS["paper"], label="the paper, about")
    learning.set(xlabel="million frames", ylabel="balls caught, %", ylim=(0, 100))
    learning.legend(fontsize="small")
    gaze.set(xlabel="frame", ylabel="gaze from ball, pixels", ylim=(0, None))
    return figure


def _elsewhere(tasks: Sequence[str], results: Sequence[Result]) -> Figure:
    names = sorted({name for task in tasks for name, *_ in _changes(results, task)})
    figure, panels = _panels(len(names))
    for axes, name in zip(panels, names, strict=True):
        for i, (task, marker) in enumerate(zip(tasks, "osD^", strict=False)):
            if points := [(value, error) for found, value, error in _changes(results, task) if found == name]:
                axes.plot(*zip(*sorted(points), strict=True), marker + "-", color=f"C{i}", label=TASK_NAMES[task])
        axes.set(xlabel=name.replace("_", " "))
        _in_per_cent(axes, "test error")
    _legend_below(figure)
    return figure


def _changes(results: Sequence[Result], task: str) -> list[tuple[str, float, float]]:
    """(what was changed, to what, the error then), the mean over seeds."""
    errors: dict[tuple[str, float], list[float]] = {}
    for result in of_recipe(results, f"ram-{task}"):
        for entry in result.generalization:
            ((name, value),) = entry["env_kwargs"].items()
            errors.setdefault((name, value), []).append(100 * entry["score"]["errors"][-1])
    return [(name, value, float(np.mean(found))) for (name, value), found in errors.items()]
