"""Tables of results, in Markdown. Errors are in percent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from glimpse_gym.agents.experiments.literature import PAPER, PAPER_BASELINES, PAPER_CATCH, PUBLIC
from glimpse_gym.agents.experiments.recipes import describe_ablation, is_single_factor, matches_recipe, recipe_names
from glimpse_gym.agents.experiments.result_files import Result
from glimpse_gym.agents.markdown import markdown_table

TASK_NAMES = {
    "mnist": "MNIST, 28 × 28",
    "translated60": "Translated, 60 × 60",
    "cluttered60": "Cluttered, 60 × 60",
    "cluttered100": "Cluttered, 100 × 100",
    "catch": "Catch, 24 × 24",
}
LOCATION_NAMES = {"learned": "learned locations", "random": "random locations", "center": "fixed at center"}
MULTIPLE_CHANGES = "†"
"""Mark of an ablation that changes several settings."""
OLDER_RECIPE = "‡"
"""Mark of a run whose settings differ from the current recipe."""
_NONE = "–"


def headline_table(results: Sequence[Result]) -> str:
    """Make the headline table: the paper's error, the best public one, and ours, in bold if it is below the paper's.

    A row with n glimpses shows the agent trained for n glimpses (recipe ``ram<n>-TASK``) if there is one, else the
    error after n glimpses of the agent for any number of glimpses (recipe ``ram-TASK``).
    """
    rows = []
    for task, paper_errors in PAPER.items():
        best, faithful, public = of_recipe(results, f"ram-{task}"), of_recipe(results, f"paper-{task}"), PUBLIC[task]
        for num_glimpses, error in paper_errors.items():
            ours = of_recipe(results, f"ram{num_glimpses}-{task}") or best
            rows.append(
                [
                    TASK_NAMES[task],
                    str(num_glimpses),
                    f"{error:.2f}",
                    f"{public.error:.2f}" if public.num_glimpses == num_glimpses else _NONE,
                    _format_error(faithful, num_glimpses) if num_glimpses == max(paper_errors) else _NONE,
                    _format_against(error, ours, num_glimpses),
                    _format_cost(ours),
                ]
            )
    catch = of_recipe(results, "ram-catch")
    missed = _format_against(PAPER_CATCH.error, catch, 1)
    published = [f"{PAPER_CATCH.error:.0f}", f"{PUBLIC['catch'].error:.0f}"]
    rows.append(["Catch, balls missed", str(PAPER_CATCH.num_glimpses), *published, _NONE, missed, _format_cost(catch)])
    header = ["task", "glimpses", "paper", "best public", "RAM as in the paper", "ours", "seeds, cost of each"]
    return markdown_table(header, rows)


def baseline_table(results: Sequence[Result]) -> str:
    """Make the table of baselines and controls, and of our RAM at learned, random, center and sampled locations."""
    rows = []
    for task in TASK_NAMES:
        recipes = {result.recipe for result in results if result.task == task and not is_ablation(result)}
        for recipe in sorted(name for name in recipes if not name.startswith(("ram", "paper-"))):
            found = of_recipe(results, recipe)
            paper = f"{PAPER_BASELINES[recipe]:.2f}" if recipe in PAPER_BASELINES else _NONE
            rows.append([TASK_NAMES[task], found[0].model, paper, _format_error(found), _format_cost(found)])
        if best := of_recipe(results, f"ram-{task}"):
            model, cost = best[0].model, _format_cost(best)
            for locations, text in LOCATION_NAMES.items():
                error = _format_error(best, locations=locations)
                rows.append([TASK_NAMES[task], f"{model}; {text}", _NONE, error, cost])
            sampled = _format_error(best, sample=True)
            rows.append([TASK_NAMES[task], f"{model}; sampled locations", _NONE, sampled, cost])
    return markdown_table(["task", "model", "paper", "ours", "seeds, cost of each"], rows)


def ablation_table(results: Sequence[Result]) -> str:
    """Make the table of ablations: validation errors, lowest first, each row labeled with all its changes."""
    ablations = [of_recipe(results, name) for name in {result.recipe for result in results if is_ablation(result)}]
    ablations.sort(key=lambda found: (_mean_error(found, split="validation"), found[0].recipe))
    rows = [
        [
            _ablation_label(found[0]),
            *(_format_error(found, locations=locations, split="validation") for locations in ("learned", "random")),
            f"{found[0].num_episodes:,}",
            f"{np.mean([result.training_seconds for result in found]) / 60:.1f} min",
        ]
        for found in ablations
    ]
    names = [LOCATION_NAMES["learned"], LOCATION_NAMES["random"]]
    return markdown_table(["change from the default agent", *names, "episodes", "training"], rows)


def run_table(results: Sequence[Result]) -> str:
    """Make the table of all runs, one row each."""
    rows = []
    for r in sorted(results, key=lambda r: (r.task, r.recipe, r.seed)):
        mean_scores = [s for s in r.scores if s["locations"] == "learned" and not s["sample"]]
        score = next((s for s in mean_scores if s["split"] == "test"), mean_scores[0])
        error, standard_error = 100 * score["errors"][-1], 100 * score["standard_errors"][-1]
        mark = "" if matches_recipe(r.recipe, r.settings) else f" {OLDER_RECIPE}"
        rows.append(
            [
                f"`glimpse-gym reproduce {r.recipe} --seed {r.seed}`{mark}",
                f"{score['split']} {error:.2f} ± {standard_error:.2f}",
                f"{r.num_parameters:,}",
                f"{r.num_frames / 1e6:.1f}M",
                f"{r.training_seconds / 60:.1f} min",
                f"{r.machine}, torch {r.versions['torch']}, glimpse_gym {r.versions['glimpse_gym']}",
            ]
        )
    header = ["command", "error, first draw ± s.e.", "parameters", "training glimpses", "training", "machine, versions"]
    return markdown_table(header, rows)


def is_ablation(result: Result) -> bool:
    """Return whether a result belongs to an ablation: a variant of the default agent, on the validation split."""
    return result.recipe.startswith("ablation-")


def of_recipe(results: Iterable[Result], recipe: str) -> list[Result]:
    """Select the results of one recipe, one per seed."""
    return [result for result in results if result.recipe == recipe]


def error_curves(
    found: Sequence[Result], locations: str = "learned", sample: bool = False, split: str = "test"
) -> np.ndarray:
    """Stack the errors in percent after each glimpse, one row per seed: float64 (S, T), or (0, 0) without any."""
    curves = [curve for r in found if (curve := r.errors(locations, sample, split)) is not None]
    return 100 * np.array(curves) if curves else np.zeros((0, 0))


def _ablation_label(result: Result) -> str:
    """List all changes from the default agent, with a mark if there are several: no single-factor comparison."""
    if result.recipe not in recipe_names():
        return result.model
    mark = "" if is_single_factor(result.recipe, result.settings) else f" {MULTIPLE_CHANGES}"
    return describe_ablation(result.recipe, result.settings) + mark


def _errors_after(
    found: Sequence[Result], num_glimpses: int | None, locations: str, sample: bool, split: str
) -> np.ndarray:
    """Return the errors after some glimpses, None for all: float64 (S,), or (0,) if there were fewer glimpses."""
    curves = error_curves(found, locations, sample, split)
    last = curves.shape[1] if num_glimpses is None else num_glimpses
    return curves[:, last - 1] if 0 < last <= curves.shape[1] else np.zeros(0)


def _mean_error(found: Sequence[Result], num_glimpses: int | None = None, split: str = "test") -> float:
    """Mean error at learned locations over seeds, as :func:`_errors_after`; infinity if there is none."""
    errors = _errors_after(found, num_glimpses, "learned", False, split)
    return float(errors.mean()) if errors.size else math.inf


def _format_error(
    found: Sequence[Result],
    num_glimpses: int | None = None,
    locations: str = "learned",
    sample: bool = False,
    split: str = "test",
) -> str:
    """Format the mean error over seeds, with the standard deviation between seeds if there are several."""
    errors = _errors_after(found, num_glimpses, locations, sample, split)
    if not errors.size:
        return _NONE
    spread = f" ± {np.std(errors, ddof=1):.2f}" if len(errors) > 1 else ""
    return f"{np.mean(errors):.2f}{spread}"


def _format_against(published: float, found: Sequence[Result], num_glimpses: int) -> str:
    """Format the error, in bold if it is below the published one."""
    error = _format_error(found, num_glimpses)
    return f"**{error}**" if _mean_error(found, num_glimpses) < published else error


def _format_cost(found: Sequence[Result]) -> str:
    if not found or not found[0].num_episodes:  # scripted players are not trained
        return _NONE
    episodes, minutes = found[0].num_episodes / 1e6, np.mean([result.training_seconds for result in found]) / 60
    return f"{len(found)}, {episodes:.1f}M episodes, {minutes:.0f} min"
