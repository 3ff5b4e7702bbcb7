"""Figures of the results page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glimpse_gym.agents.experiments.literature import PAPER, PAPER_CATCH
from glimpse_gym.agents.experiments.result_files import Result
from glimpse_gym.agents.experiments.table_cells import (
    LOCATION_NAMES,
    PAPER_MODELS,
    RAM_RECIPES,
    TASK_NAMES,
    error_curves,
    of_ram,
    of_recipe,
)
from glimpse_gym.atomic_io import atomic_write

# Okabe-Ito colors, which color-blind readers can tell apart.
_COLORS = {
    "learned": "#0072B2",
    "random": "#E69F00",
    "center": "#999999",
    "first-center": "#56B4E9",
    "ram": "#0072B2",
    "ram-long": "#E69F00",
    "ram-select": "#56B4E9",
    "paper": "#D55E00",
    "paper-sgd": "#D55E00",
    "paper-adam": "#CC79A7",
    "image": "#009E73",
}
_CHANGES = {
    "canvas_size": "canvas size, pixels",
    "num_clutter": "pieces of clutter",
    "rotation": "rotation, degrees",
    "shift": "shift right and down, pixels",
}


def save_figures(folder: Path, results: Sequence[Result]) -> list[Path]:
    """Draw every figure for which there are results, into an existing folder."""
    tasks = [task for task in TASK_NAMES if of_ram(results, task)]
    image_tasks = [task for task in tasks if task in PAPER]
    changed_tasks = [task for task in image_tasks if _generalization_errors(results, task)]
    return [
        _save(folder / f"{name}.png", draw, shown_tasks, results)
        for name, draw, shown_tasks in (
            ("error-by-glimpses", _error_by_glimpses, image_tasks),
            ("error-by-values", _error_by_values, image_tasks),
            ("learning", _learning, image_tasks),
            ("catch", _catch, [task for task in tasks if task == "catch"]),
            ("generalization", _generalization, changed_tasks),
        )
        if shown_tasks
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
    """Draw one legend for all panels, with each label once; tasks are in the order of the tables."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    order = {name: position for position, name in enumerate(TASK_NAMES.values())}
    labels = sorted(handles, key=lambda label: order.get(label, 0))
    figure.legend([handles[label] for label in labels], labels, loc="outside lower center", ncols=6, fontsize="small")


def _percent_axis(axes: Axes, quantity: str) -> None:
    axes.set_yscale("log")
    axes.set_ylabel(f"{quantity}, %")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "2357" else "")


def _plot_curves(axes: Axes, x: Sequence[int] | np.ndarray, curves: np.ndarray, color: str, label: str) -> None:
    """Plot the mean of some curves, one per seed: float64 (S, T), and the range between the lowest and the highest."""
    if curves.size:
        axes.plot(x, curves.mean(axis=0), ".-", color=_COLORS[color], label=label)
        if len(curves) > 1:
            axes.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=_COLORS[color], alpha=0.25, lw=0)


def _plot_errors(axes: Axes, found: Sequence[Result], values_per_glimpse: int) -> None:
    """Plot errors after each glimpse, one line for each source of locations."""
    for locations, name in LOCATION_NAMES.items():
        curves = error_curves(found, locations)
        _plot_curves(axes, values_per_glimpse * np.arange(1, curves.shape[1] + 1), curves, locations, f"RAM, {name}")


def _error_by_glimpses(tasks: Sequence[str], results: Sequence[Result]) -> Figure:
    figure, panels = _panels(len(tasks))
    others = {"ram-center": ("first-center", "RAM, learned, first at center")}
    others |= {prefix: (prefix, f"paper's model, {optimizer}") for prefix, optimizer in PAPER_MODELS.items()}
    for axes, task in zip(panels, tasks, strict=True):
        _plot_errors(axes, of_ram(results, task), values_per_glimpse=1)
        for prefix, (color, label) in others.items():
            curves = error_curves(of_recipe(results, f"{prefix}-{task}"))
            _plot_curves(axes, range(1, curves.shape[1] + 1), curves, color, label)
        axes.plot(*zip(*PAPER[task].items(), strict=True), "kx", zorder=3, label="paper (published)")
        if (errors := error_curves(of_recipe(results, f"cnn-{task}"))).size:
            axes.axhline(errors.mean(), color=_COLORS["image"], ls="--", label="CNN, whole image")
        axes.set(xlabel="glimpses", title=TASK_NAMES[task])
        _percent_axis(axes, "test error")
    _legend_below(figure)
    return figure


def _error_by_values(tasks: Sequence[str], results: Sequence[Result]) -> Figure:
    figure, panels = _panels(len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        found = of_ram(results, task)
        _plot_errors(axes, found, found[0].values_per_glimpse)
        for recipe, marker in (("fc256", "s"), ("conv", "^"), ("cnn", "D")):
            baseline = of_recipe(results, f"{recipe}-{task}")
            if (errors := error_curves(baseline)).size:
                point = baseline[0].values_per_glimpse, errors.mean()
                axes.plot(*point, marker, color=_COLORS["image"], label=f"{baseline[0].model}, whole image")
        axes.set(xlabel="input values (cumulative)", title=TASK_NAMES[task], xscale="log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:,.0f}" if f"{x:e}"[0] in "25" else "")
        _percent_axis(axes, "test error")
    _legend_below(figure)
    return figure


def _learning(tasks: Sequence[str], results: Sequence[Result]) -> Figure:
    figure, panels = _panels(len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        for recipe, name, color in (
            *((prefix, label, prefix) for prefix, label in RAM_RECIPES.items()),
            *((prefix, f"paper's model, {optimizer}", prefix) for prefix, optimizer in PAPER_MODELS.items()),
        ):
            for i, result in enumerate(of_recipe(results, f"{recipe}-{task}")):
                episodes = [record["episodes"] / 1e6 for record in result.history]
                errors = [100 * record["validation_error"] for record in result.history]
                axes.plot(episodes, errors, color=_COLORS[color], label=None if i else name, lw=1)
        axes.set(xlabel="million episodes", title=TASK_NAMES[task])
        _percent_axis(axes, "validation error")
    _legend_below(figure)
    return figure


def _catch(tasks: Sequence[str], results: Sequence[Result]) -> Figure:
    figure, (learning, gaze) = _panels(2, width=4.6)
    for recipe, name, color in (
        ("ram-catch", "RAM, retina", "learned"),
        ("screen-catch", "RAM, whole screen", "image"),
    ):
        for i, result in enumerate(of_recipe(results, recipe)):
            frames_per_episode = result.num_frames / max(result.num_episodes, 1)  # scripted players are not trained
            frames = [record["episodes"] * frames_per_episode / 1e6 for record in result.history]
            caught = [100 * (1 - record["validation_error"]) for record in result.history]
            learning.plot(frames, caught, color=_COLORS[color], label=None if i else name)
            if result.gaze_distances and recipe == "ram-catch":
                gaze.plot(range(len(result.gaze_distances)), result.gaze_distances, ".-", color=_COLORS[color])
    learning.plot(20, 100 - PAPER_CATCH.error, "x", color=_COLORS["paper"], label="paper (published, approximate)")
    learning.set(xlabel="million frames", ylabel="balls caught, %", ylim=(0, 100))
    learning.legend(fontsize="small")
    gaze.set(xlabel="frame", ylabel="distance from gaze to ball, pixels", ylim=(0, None))
    return figure


def _generalization(tasks: Sequence[str], results: Sequence[Result]) -> Figure:
    names = sorted({name for task in tasks for name, *_ in _generalization_errors(results, task)})
    figure, panels = _panels(len(names))
    for axes, name in zip(panels, names, strict=True):
        for i, (task, marker) in enumerate(zip(tasks, "osD^", strict=False)):
            errors = [(value, error) for key, value, error in _generalization_errors(results, task) if key == name]
            if errors:
                axes.plot(*zip(*sorted(errors), strict=True), marker + "-", color=f"C{i}", label=TASK_NAMES[task])
        axes.set(xlabel=_CHANGES.get(name, name.replace("_", " ")))
        _percent_axis(axes, "test error")
    _legend_below(figure)
    return figure


def _generalization_errors(results: Sequence[Result], task: str) -> list[tuple[str, float, float]]:
    """List (changed keyword argument, its value, mean error over seeds) for all generalization envs of a task."""
    errors: dict[tuple[str, float], list[float]] = {}
    for result in of_ram(results, task):
        for entry in result.generalization:
            ((name, value),) = entry["env_kwargs"].items()
            errors.setdefault((name, value), []).append(100 * entry["score"]["errors"][-1])
    return [(name, value, float(np.mean(found))) for (name, value), found in errors.items()]
