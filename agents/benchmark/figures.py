"""Figures of the benchmark. An algorithm has the same color and marker in all of them. Scores are in percent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import cycle, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from glimpse_gym.agents.benchmark import statistics
from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS
from glimpse_gym.agents.benchmark.protocol import TASKS
from glimpse_gym.agents.benchmark.records import RunRecord, select, success_curves
from glimpse_gym.agents.benchmark.statistics import bootstrap
from glimpse_gym.agents.benchmark.tables import (
    Suite,
    algorithm_label,
    algorithm_names,
    cost_pairs,
    final_success,
    group_of,
    suite_scores,
    suites,
    task_names,
)
from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.rendering.paper_figures import COLORS, GRAY, STYLE

LADDER = {
    "random": "random",
    "looks-center": "center",
    "looks-raster": "grid",
    "recurrent-ppo": "pure RL",
    "ram": "hybrid",
}
"""Short labels of the algorithms whose final score is a line in every panel of the learning curves."""
_REFERENCE = "reference"
"""Group of the algorithms that are shown on the ladder only."""
_MARKERS = "osD^vP"
_FEWEST_EPISODES = 30
"""Episodes with the same number of glimpses, over all seeds, from which a success rate is shown."""
_LADDER_COLOR = "#555555"
_THRESHOLDS = np.linspace(0, 1, 201)


def save_figures(folder: Path, records: Sequence[RunRecord]) -> list[Path]:
    """Draw every figure for which there are runs, into an existing folder."""
    drawings: dict[str, Callable[[], Figure]] = {}
    for task in task_names(records):
        if any(record.curve for record in records if record.task == task):
            drawings[f"learning-{task}"] = partial(learning_curves, records, task)
    for suite in suites(records):
        name = "-".join(suite.tasks)
        drawings[f"aggregate-{name}"] = partial(aggregate_bars, records, suite)
        drawings[f"profiles-{name}"] = partial(performance_profiles, records, suite)
        drawings[f"improvement-{name}"] = partial(improvement_matrix, records, suite)
    if tasks := early_tasks(records):
        drawings["glimpses"] = partial(success_against_glimpses, records, tasks)
        drawings["by-glimpses"] = partial(success_by_glimpses, records, tasks)
    if cost_pairs(records):
        drawings["cost"] = partial(cost_comparison, records)
    paths = []
    for name, draw in drawings.items():
        paths.append(folder / f"benchmark-{name}.png")
        with atomic_write(paths[-1]) as temporary, rc_context(STYLE):
            draw().savefig(temporary, dpi=130, facecolor="white", bbox_inches="tight", pad_inches=0.1)
    return paths


def line_styles(records: Sequence[RunRecord]) -> dict[str, dict[str, Any]]:
    """Color and marker of each algorithm: the color by its place in its group, the marker by the group."""
    members: dict[str, list[str]] = {}
    for name in [*ALGORITHMS, *(name for name in algorithm_names(records) if name not in ALGORITHMS)]:
        members.setdefault(group_of(name), []).append(name)
    styles = {}
    for marker, (group, names) in zip(cycle(_MARKERS), members.items(), strict=False):
        for i, name in enumerate(names):
            color = COLORS[6] if group == _REFERENCE else COLORS[i % 6]  # black; the others, without yellow
            styles[name] = {"color": color, "marker": marker}
    return styles


def _panels(rows: int, columns: int, width: float, height: float, **kwargs: Any) -> tuple[Figure, np.ndarray]:
    """Make a figure and its panels, an object array (rows, columns)."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **kwargs)
    for axes in panels.flat:
        axes.grid()
    return figure, panels


def _legend_below(figure: Figure, columns: int) -> None:
    """Draw one legend for all panels, with each label once."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend([*handles.values()], [*handles], loc="outside lower center", ncols=columns)


# -------------------------------------------------------------------------------------------- learning curves


def learning_curves(records: Sequence[RunRecord], task: str) -> Figure:
    """Validation success against env steps: a panel for each group of algorithms, and the ladder in every panel."""
    found = {name: [r for r in select(records, task, name) if r.curve] for name in algorithm_names(records)}
    shown = [name for name, runs in found.items() if runs]
    names = [name for name in shown if group_of(name) != _REFERENCE] or shown
    groups = list(dict.fromkeys(map(group_of, names)))
    figure, panels = _panels(1, len(groups), width=3.5, height=4.6, sharey=True)
    styles = line_styles(records)
    for axes, group in zip(panels[0], groups, strict=True):
        for name in (name for name in names if group_of(name) == group):
            _plot_curve(axes, found[name], styles[name], algorithm_label(name))
        _format_steps(axes, max(record.curve[-1]["num_steps"] for name in names for record in found[name]))
        axes.set_title(group)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14))
    _draw_ladder(panels[0], records, task)
    panels[0, 0].set(ylabel="success, %", ylim=(0, 100))
    return figure


def _plot_curve(axes: Axes, runs: Sequence[RunRecord], style: dict[str, Any], label: str) -> None:
    """Draw the IQM over seeds, and its interval as a band."""
    steps, success = success_curves(runs)
    if not steps.size:
        return
    curve = bootstrap(statistics.iqm, [100 * success])
    axes.plot(steps, curve.value, ms=3, lw=1.3, label=label, **style)
    axes.fill_between(steps, curve.low, curve.high, color=style["color"], alpha=0.18, lw=0)


def _format_steps(axes: Axes, num_steps: float) -> None:
    unit, name = (1e6, "million ") if num_steps >= 1e6 else (1e3, "thousand ") if num_steps >= 1e4 else (1, "")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / unit:g}")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set(xlabel=f"{name}env steps", xlim=(0, num_steps))


def _draw_ladder(panels: Sequence[Axes], records: Sequence[RunRecord], task: str) -> None:
    """Draw final test scores as thin lines through all panels, with labels at the right of the last one."""
    levels = {
        label: 100 * float(statistics.iqm([final_success(runs)]))
        for name, label in LADDER.items()
        if (runs := select(records, task, name))
    }
    if task in TASKS:
        levels["chance"] = 100 * TASKS[task].chance
    for axes in panels:
        for label, level in levels.items():
            line: dict[str, Any] = {"ls": ":", "lw": 1.2} if label == "chance" else {"ls": "--", "lw": 0.8}
            axes.axhline(level, color=_LADDER_COLOR, zorder=1.5, **line)
    places = spread(list(levels.values()), gap=4.5, low=0, high=100)
    for (label, level), place in zip(levels.items(), places, strict=True):
        panels[-1].annotate(
            label,
            (1, level),
            (1.06, place),
            xycoords=panels[-1].get_yaxis_transform(),
            fontsize=8,
            va="center",
            color=_LADDER_COLOR,
            arrowprops={"arrowstyle": "-", "color": GRAY, "lw": 0.5, "shrinkA": 1, "shrinkB": 0},
        )


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move values apart, as little as a pass up and a pass down allow, so that labels at them do not overlap.

    Returns:
        Values in the order given, at least ``gap`` apart; within [low, high] if they fit there.
    """
    order = np.argsort(values, kind="stable")
    placed = np.clip(np.array(values, float)[order], low, high)
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], high - gap * (len(placed) - 1 - i))
    moved = np.empty_like(placed)
    moved[order] = placed
    return moved.tolist()


# -------------------------------------------------------------------------------------------- over several tasks


def aggregate_bars(records: Sequence[RunRecord], suite: Suite) -> Figure:
    """IQM over the runs of all tasks, with intervals, the highest at the top."""
    estimates = {name: bootstrap(statistics.iqm, suite_scores(records, suite, name)) for name in suite.algorithms}
    names = sorted(estimates, key=lambda name: estimates[name].value)
    figure, ((axes,),) = _panels(1, 1, width=8, height=0.7 + 0.26 * len(names))
    styles = line_styles(records)
    for i, name in enumerate(names):
        value, low, high = (100 * float(number) for number in estimates[name])
        axes.barh(i, value, 0.65, color=styles[name]["color"], alpha=0.75)
        axes.plot([low, high], [i, i], color="black", lw=1.5, marker="|", ms=7)
        axes.annotate(f"{value:.1f}", (high, i), (6, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), map(algorithm_label, names))
    axes.set(xlabel="interquartile mean of test success, %", xlim=(0, 100), ylim=(-0.6, len(names) - 0.4))
    axes.grid(visible=False, axis="y")
    return figure


def performance_profiles(records: Sequence[RunRecord], suite: Suite) -> Figure:
    """Fraction of the runs with more than a given success: a panel for each group, references in every panel."""
    groups = list(dict.fromkeys(map(group_of, suite.algorithms)))
    shown = [group for group in groups if group != _REFERENCE] or groups
    figure, panels = _panels(1, len(shown), width=3.4, height=4.2, sharey=True)
    styles = line_styles(records)
    for axes, group in zip(panels[0], shown, strict=True):
        for name in (name for name in suite.algorithms if group_of(name) in (_REFERENCE, group)):
            profile = bootstrap(
                partial(statistics.performance_profile, thresholds=_THRESHOLDS), suite_scores(records, suite, name)
            )
            color = styles[name]["color"]
            axes.step(100 * _THRESHOLDS, 100 * profile.value, where="post", color=color, label=algorithm_label(name))
            band = (100 * profile.low, 100 * profile.high)
            axes.fill_between(100 * _THRESHOLDS, *band, step="post", color=color, alpha=0.18, lw=0)
        axes.set(xlabel="test success, %", title=group, xlim=(0, 101), ylim=(0, 102))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
    panels[0, 0].set_ylabel("runs with more success, %")
    return figure


def improvement_matrix(records: Sequence[RunRecord], suite: Suite) -> Figure:
    """Probability that the algorithm of the row has more success than that of the column, the highest IQM first.

    In percent; numbers whose interval includes 50 are gray.
    """
    scores = {name: suite_scores(records, suite, name) for name in suite.algorithms}
    names = sorted(scores, key=lambda name: -statistics.iqm(scores[name]))
    values, is_clear = np.full((len(names), len(names)), np.nan), np.zeros((len(names), len(names)), np.bool_)
    for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
        found = bootstrap(statistics.probability_of_improvement, scores[names[i]], scores[names[j]])
        values[i, j], values[j, i] = 100 * found.value, 100 * (1 - found.value)
        is_clear[i, j] = is_clear[j, i] = not found.low <= 0.5 <= found.high
    axes = (figure := Figure(figsize=(0.45 * len(names) + 3, 0.32 * len(names) + 2))).subplots()
    axes.imshow(values, cmap="PuOr", vmin=-50, vmax=150, aspect="auto")  # pale enough for black numbers
    for (i, j), value in np.ndenumerate(values):
        if i != j:
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color="black" if is_clear[i, j] else "#777777")
    labels = list(map(algorithm_label, names))
    axes.set_yticks(range(len(names)), labels)
    axes.set_xticks(range(len(names)), labels, rotation=40, ha="left", rotation_mode="anchor")
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


# -------------------------------------------------------------------------------------------- glimpses used


def early_tasks(records: Sequence[RunRecord]) -> list[str]:
    """List the tasks in which some run ended episodes after different numbers of glimpses."""
    return [task for task in task_names(records) if any(_stops_early(r) for r in records if r.task == task)]


def _stops_early(record: RunRecord) -> bool:
    return sum(number > 0 for number in record.test["episodes_by_glimpses"]) > 1


def _early_runs(records: Sequence[RunRecord], task: str) -> dict[str, list[RunRecord]]:
    """Runs of each algorithm that may end episodes early: in the discrete form, or if some run did."""
    found = {name: select(records, task, name) for name in algorithm_names(records)}
    return {
        name: runs
        for name, runs in found.items()
        if any(map(_stops_early, runs)) or (runs and name in ALGORITHMS and ALGORITHMS[name].actions == "discrete")
    }


def success_against_glimpses(records: Sequence[RunRecord], tasks: Sequence[str]) -> Figure:
    """Success against the mean number of glimpses used: one point for each run, a panel for each task."""
    figure, panels = _panels(1, len(tasks), width=2.7, height=4.6, sharey=True)
    styles = line_styles(records)
    for axes, task in zip(panels[0], tasks, strict=True):
        horizon = max(len(record.test["episodes_by_glimpses"]) - 1 for record in records if record.task == task)
        for name, runs in _early_runs(records, task).items():
            glimpses = [run.test["num_glimpses"] for run in runs]
            style = {"ls": "", "ms": 6, "alpha": 0.75, "mew": 0, **styles[name]}
            axes.plot(glimpses, 100 * final_success(runs), label=algorithm_label(name), **style)
        if task in TASKS:
            axes.axhline(100 * TASKS[task].chance, color=_LADDER_COLOR, ls=":", lw=1.2, label="chance")
        axes.set(xlabel="mean number of glimpses used", title=task, xlim=(0, horizon + 0.5), ylim=(0, 101))
    panels[0, 0].set_ylabel("test success, %")
    _legend_below(figure, columns=2 if len(tasks) < 3 else 3)
    return figure


def success_by_glimpses(records: Sequence[RunRecord], tasks: Sequence[str]) -> Figure:
    """Share of the test episodes that used each number of glimpses, and their success, over all seeds."""
    figure, panels = _panels(2, len(tasks), width=2.7, height=2.6, sharex="col", sharey="row")
    styles = line_styles(records)
    for (shares, rates), task in zip(panels.T, tasks, strict=True):
        for name, runs in _early_runs(records, task).items():
            episodes, successes = (_total(runs, f"{kind}_by_glimpses") for kind in ("episodes", "successes"))
            glimpses = np.arange(len(episodes))
            enough = episodes >= _FEWEST_EPISODES
            style = {"ms": 4, "lw": 1.2, **styles[name]}
            shares.plot(glimpses[1:], 100 * episodes[1:] / episodes.sum(), label=algorithm_label(name), **style)
            rates.plot(glimpses[enough], 100 * successes[enough] / episodes[enough], **style)
        if task in TASKS:
            rates.axhline(100 * TASKS[task].chance, color=_LADDER_COLOR, ls=":", lw=1.2)
        rates.set(xlabel="glimpses used", ylim=(0, 101))
        rates.xaxis.set_major_locator(MaxNLocator(integer=True))
        shares.set_title(task)
    panels[0, 0].set(ylabel="share of episodes, %", ylim=(0, None))
    panels[1, 0].set_ylabel("their success, %")
    _legend_below(figure, columns=2 if len(tasks) < 3 else 3)
    return figure


def _total(runs: Iterable[RunRecord], name: str) -> np.ndarray:
    """Add up the numbers of episodes of all runs; their lists may have different lengths."""
    columns = zip_longest(*(run.test[name] for run in runs), fillvalue=0)
    return np.array([sum(counts) for counts in columns])


def cost_comparison(records: Sequence[RunRecord]) -> Figure:
    """Success against glimpses without (hollow) and with (filled) a glimpse cost, with an arrow between the means."""
    pairs = cost_pairs(records)
    tasks = list(dict.fromkeys((free, costly) for free, costly, _ in pairs))
    figure, panels = _panels(1, len(tasks), width=5, height=3.8)
    styles = line_styles(records)
    for axes, task in zip(panels[0], tasks, strict=True):
        for name in (name for *both, name in pairs if tuple(both) == task):
            ends = []
            for part, kind in zip(task, ("without cost", "with cost"), strict=True):
                runs = select(records, part, name)
                x, y = [run.test["num_glimpses"] for run in runs], 100 * final_success(runs)
                fill = {"mfc": "white"} if kind == "without cost" else {}
                label = f"{algorithm_label(name)}, {kind}"
                axes.plot(x, y, ls="", ms=6, mew=1.3, label=label, **styles[name], **fill)
                ends.append((np.mean(x), np.mean(y)))
            arrow = {"arrowstyle": "->", "color": "#333333", "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", ends[1], ends[0], arrowprops=arrow)
        axes.set(xlabel="mean number of glimpses used", ylabel="test success, %", title=" and ".join(task))
        axes.set(xlim=(0, None), ylim=(0, 101))
    _legend_below(figure, columns=2)
    return figure
