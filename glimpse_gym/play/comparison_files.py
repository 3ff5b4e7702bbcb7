"""Comparisons as text for the terminal, as CSV and JSON files, and as figures."""

from __future__ import annotations

import csv
import json
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.play.compare import CENTER_NOTE, Comparison, Group, Rate, Similarity
from glimpse_gym.play.trials import Trial, mean_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from glimpse_gym.rendering.paper_figures import ErrorCurve

_ACCURACY_COLUMNS = ("player", "task", "glimpses", "trials", "correct", "accuracy", "low", "high")
_BASELINE_NOTE = "In gray, the agent at random locations, or fixed at the center."
_CHANCE_NOTE = "Chance is a guess, with all labels equally likely."


def format_comparison(comparison: Comparison) -> str:
    """Format a comparison as tables for the terminal."""
    parts = []
    for task in dict.fromkeys(group.task for group in comparison.groups):
        chosen = [i for i, group in enumerate(comparison.groups) if group.task == task]
        parts += [task, *_format_task(comparison, chosen), ""]
    if comparison.similarities:
        parts += ["Distance between scanpaths", *_format_similarities(comparison.similarities), ""]
    return "\n".join(parts) + "\n" + "\n".join(textwrap.fill(note, 100) for note in comparison.notes)


def _format_task(comparison: Comparison, chosen: Sequence[int]) -> list[str]:
    groups, curves = [comparison.groups[i] for i in chosen], [comparison.accuracies[i] for i in chosen]
    rows = [("player", "trials", "success %", "s/glimpse")]
    for i in chosen:
        seconds, rate = comparison.seconds[i], comparison.successes[i]
        shown = "" if math.isnan(seconds) else f"{seconds:.2f}"
        rows.append((comparison.groups[i].player, str(rate.trials), _format_rate(rate, rate.trials), shown))
    lines = align_columns(rows)
    if any(curves):
        lines += ["", "Accuracy in % after each glimpse"]
        table = [("glimpses", *(group.player for group in groups))]
        for t in range(max(map(len, curves))):
            cells = [
                _format_rate(curve[t], len(group.trials)) if t < len(curve) else ""
                for group, curve in zip(groups, curves, strict=True)
            ]
            table.append((str(t + 1), *cells))
        lines += align_columns(table)
    return lines


def _format_rate(rate: Rate, num_trials: int) -> str:
    """Percentage with interval, and the number of trials if it is not that of all trials."""
    if not rate.trials:
        return "no guesses"
    some = f" of {rate.trials}" if rate.trials != num_trials else ""
    return f"{100 * rate.value:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]{some}"


def _format_similarities(similarities: Sequence[Similarity]) -> list[str]:
    rows = [("player", "compared with", "distance", "center", "random", "pairs")]
    for each in similarities:
        error = "" if math.isnan(each.standard_error) else f" ± {each.standard_error:.3f}"
        kind = f"{each.num_pairs} at {each.num_pictures} shared picture{'s' * (each.num_pictures > 1)}"
        if not each.same_pictures:
            kind = f"{each.num_pairs}, no shared pictures: all pairs"
        numbers = f"{each.distance:.3f}{error}", f"{each.center:.3f}", f"{each.random:.3f}"
        rows.append((each.player, each.reference, *numbers, kind))
    return align_columns(rows)


def align_columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Format rows of text as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def save_numbers(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``comparison.json``, ``accuracy.csv`` and ``similarity.csv``, each atomically, into an existing folder."""
    accuracies = [
        (group.player, group.task, t, rate.trials, rate.successes, rate.value, rate.low, rate.high)
        for group, curve in zip(comparison.groups, comparison.accuracies, strict=True)
        for t, rate in enumerate(curve, start=1)
    ]
    players = [
        {
            "player": group.player,
            "task": group.task,
            "is_baseline": group.is_baseline,
            "success": success._asdict(),
            "median_seconds": seconds,
            "accuracy_after_glimpses": [rate._asdict() for rate in curve],
        }
        for group, success, seconds, curve in zip(
            comparison.groups, comparison.successes, comparison.seconds, comparison.accuracies, strict=True
        )
    ]
    similarities = [each._asdict() for each in comparison.similarities]
    content = {"players": players, "similarities": similarities, "notes": comparison.notes}
    paths = [folder / name for name in ("comparison.json", "accuracy.csv", "similarity.csv")]
    with atomic_write(paths[0]) as temporary:
        temporary.write_text(json.dumps(_without_nan(content), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _save_csv(paths[1], _ACCURACY_COLUMNS, accuracies)
    _save_csv(paths[2], Similarity._fields, comparison.similarities)
    return paths


def _save_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([["" if _is_nan(value) else value for value in row] for row in rows])


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _without_nan(value: Any) -> Any:
    """Replace NaN by None, which JSON can store."""
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if _is_nan(value) else value


def error_figure(comparison: Comparison) -> Figure:
    """Figure of the error of all players after each glimpse.

    Raises:
        ValueError: no player gave labels.
    """
    from glimpse_gym.rendering.paper_figures import ErrorCurve, error_against_glimpses

    curves = [
        ErrorCurve(
            group.player,
            [1 - rate.value for rate in rates],
            [1 - rate.high for rate in rates],
            [1 - rate.low for rate in rates],
            group.task,
            group.is_baseline,
        )
        for group, rates in zip(comparison.groups, comparison.accuracies, strict=True)
        if any(rate.trials for rate in rates)
    ]
    if not curves:
        raise ValueError("an error against glimpses needs trials with guesses of labels; there are none")
    notes = [note for note in comparison.notes if note != CENTER_NOTE]
    notes += [_BASELINE_NOTE] * any(curve.is_baseline for curve in curves)
    chance = _chance_curves(comparison.groups, curves)
    notes += [_CHANCE_NOTE] * bool(chance)
    return error_against_glimpses([*curves, *chance], note="\n".join(notes))


def _chance_curves(groups: Sequence[Group], curves: Sequence[ErrorCurve]) -> list[ErrorCurve]:
    """Make the curve of an equally likely guess at each task whose labels are known."""
    from glimpse_gym.rendering.paper_figures import ErrorCurve

    num_labels = {group.task: len(group.trials[0].choice_names) for group in groups}
    lengths = {curve.task: max(len(each.errors) for each in curves if each.task == curve.task) for curve in curves}
    chance = []
    for task, length in lengths.items():
        if num_labels[task]:
            errors = [1 - 1 / num_labels[task]] * length
            chance.append(ErrorCurve("chance", errors, errors, errors, task, is_baseline=True))
    return chance


def heat_map_figure(groups: Sequence[Group], notes: Sequence[str] = ()) -> Figure:
    """Figure of the fixations of each player over the mean image, one panel per player."""
    from glimpse_gym.rendering.paper_figures import HeatMap, fixation_heat_maps

    maps = [
        HeatMap(group.name, mean_image([trial.image for trial in group.trials]), group.chosen)
        for group in groups
        if not group.is_baseline
    ]
    return fixation_heat_maps(maps, note="\n".join(notes))


def class_heat_map_figure(group: Group, notes: Sequence[str] = ()) -> Figure:
    """Figure of the fixations of one player over the mean image of each class, one panel per class.

    Raises:
        ValueError: the task has no labels.
    """
    from glimpse_gym.rendering.paper_figures import HeatMap, fixation_heat_maps

    by_label: dict[int, list[Trial]] = {}
    for trial in group.trials:
        by_label.setdefault(trial.label, []).append(trial)
    if -1 in by_label:
        raise ValueError(f"heat maps of classes need labels; {group.task} has none")
    maps = [
        HeatMap(
            found[0].choice_names[label],
            mean_image([trial.image for trial in found]),
            np.concatenate([trial.chosen for trial in found]),
        )
        for label, found in sorted(by_label.items())
    ]
    return fixation_heat_maps(maps, title=group.name, note="\n".join(notes))


def belief_figure(trial: Trial) -> Figure:
    """Figure of the class probabilities of an agent after each glimpse at one image.

    Raises:
        ValueError: probabilities or the retina are not known, as for people, or the task has no labels.
    """
    from glimpse_gym.rendering.paper_figures import belief_over_time

    if trial.guess_probs is None or trial.retina is None or trial.label < 0:
        raise ValueError(
            f"a belief over time needs an agent's probabilities of labels; {trial.player} at {trial.task} has none"
        )
    return belief_over_time(
        trial.image,
        trial.locations,
        trial.retina,
        trial.guess_probs,
        trial.choice_names,
        label=trial.label,
        title=trial.player,
    )


def scanpath_figure(trials: Sequence[Trial]) -> Figure:
    """Figure of the scanpaths of several trials.

    Raises:
        ValueError: no trial whose retina is known.
    """
    from glimpse_gym.rendering.animation import ScanpathEpisode
    from glimpse_gym.rendering.figures import scanpath_plate

    episodes = [
        ScanpathEpisode(trial.image, trial.locations, trial.retina, _caption(trial), trial.success)
        for trial in trials
        if trial.retina is not None
    ]
    if not episodes:
        raise ValueError("scanpaths are drawn with the patches of the retina, and that of AttentionMNIST is unknown")
    players = {trial.player for trial in trials}
    return scanpath_plate(episodes, title=players.pop() if len(players) == 1 else "")


def _caption(trial: Trial) -> str:
    if trial.label < 0:
        return "success" if trial.success else "failure"
    guess = trial.choice_names[trial.guesses[-1]] if trial.guesses[-1] >= 0 else "?"
    return f"{trial.choice_names[trial.label]} \u2192 {guess}"
