"""Selection of results, and the cells of tables. Errors are in percent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from glimpse_gym.agents.experiments.literature import NUM_TEST_IMAGES
from glimpse_gym.agents.experiments.recipes import matches_recipe
from glimpse_gym.agents.experiments.result_files import Result
from glimpse_gym.agents.experiments.significance import binomial_standard_error, is_below

TASK_NAMES = {
    "mnist": "MNIST, 28 × 28",
    "translated60": "Translated, 60 × 60",
    "cluttered60": "Cluttered, 60 × 60",
    "cluttered100": "Cluttered, 100 × 100",
    "catch": "Catch, 24 × 24",
}
LOCATION_NAMES = {"learned": "learned locations", "random": "random locations", "center": "fixed at center"}
PAPER_MODELS = {"paper-sgd": "SGD with momentum", "paper-adam": "Adam"}
"""Recipes of the paper's model, without the task, and their optimizers."""
RAM_RECIPES = {"ram": "our RAM", "ram-long": "our RAM, longer", "ram-select": "our RAM, with selection"}
"""Recipes of our RAM, without the task, and their labels."""
OLDER_RECIPE = "‡"
"""Mark of runs whose settings differ from the current recipe."""
NONE = "–"


def is_ablation(result: Result) -> bool:
    """Return whether a result belongs to an ablation: a variant of the default agent, on the validation split."""
    return result.recipe.startswith("ablation-")


def of_recipe(results: Iterable[Result], recipe: str) -> list[Result]:
    """Select the results of one recipe, one per seed."""
    return [result for result in results if result.recipe == recipe]


def of_ram(results: Sequence[Result], task: str, num_glimpses: int | None = None, variant: str = "") -> list[Result]:
    """Select the results of our RAM: those of the recipe for a number of glimpses, ``ram<n>-[VARIANT-]TASK``, if any.

    Otherwise they are those of ``ram-[VARIANT-]TASK`` or of another of RAM_RECIPES: the one with the most seeds and, of
    those with equally many, the lowest mean validation error.
    """
    name = f"{variant}-{task}" if variant else task
    if found := of_recipe(results, f"ram{num_glimpses}-{name}"):
        return found
    choices = [of_recipe(results, f"{prefix}-{name}") for prefix in RAM_RECIPES]
    return min(choices, key=lambda runs: (-len(runs), mean_error(runs, "validation")))


def of_ram_variants(results: Sequence[Result], task: str) -> list[list[Result]]:
    """Select the results of each of RAM_RECIPES that has any; an empty list if fewer than two have."""
    found = [runs for prefix in RAM_RECIPES if (runs := of_recipe(results, f"{prefix}-{task}"))]
    return found if len(found) > 1 else []


def of_paper_model(results: Sequence[Result], task: str) -> list[Result]:
    """Select the results of the paper's model, with the optimizer that has the lower mean validation error."""
    found = [of_recipe(results, f"{prefix}-{task}") for prefix in PAPER_MODELS]
    return min(filter(None, found), key=lambda runs: mean_error(runs, "validation"), default=[])


def error_curves(
    found: Sequence[Result], locations: str = "learned", sample: bool = False, split: str = "test"
) -> np.ndarray:
    """Stack the errors in percent after each glimpse, one row per seed: float64 (S, T), or (0, 0) without any."""
    curves = [curve for r in found if (curve := r.errors(locations, sample, split)) is not None]
    return 100 * np.array(curves) if curves else np.zeros((0, 0))


def mean_error(found: Sequence[Result], split: str) -> float:
    """Mean error at learned locations over seeds, after the last glimpse; infinity if there is none."""
    errors = _errors_after(found, split=split)
    return float(errors.mean()) if errors.size else math.inf


def format_error(
    found: Sequence[Result],
    num_glimpses: int | None = None,
    locations: str = "learned",
    sample: bool = False,
    split: str = "test",
) -> str:
    """Format the mean error over seeds, with the standard deviation between seeds if there are several.

    ``num_glimpses`` is the number of glimpses after which errors are taken, None for all.
    """
    errors = _errors_after(found, num_glimpses, locations, sample, split)
    if not errors.size:
        return NONE
    spread = f" ± {np.std(errors, ddof=1):.2f}" if len(errors) > 1 else ""
    return f"{np.mean(errors):.2f}{spread}"


def format_against(
    published: float,
    found: Sequence[Result],
    num_glimpses: int | None = None,
    published_standard_error: float | None = None,
) -> str:
    """Format the test error, in bold if it is below the published one by more than two standard errors.

    Without ``published_standard_error``, the published error is one from 10,000 test images.
    """
    if published_standard_error is None:
        published_standard_error = binomial_standard_error(published, NUM_TEST_IMAGES)
    error, errors = format_error(found, num_glimpses), _errors_after(found, num_glimpses)
    below = is_below(errors, _num_test_episodes(found), published, published_standard_error)
    return f"**{error}**" if below else error


def format_difference(published: float | None, found: Sequence[Result]) -> str:
    """Format the test error after the last glimpse minus a published one, in points, with its sign."""
    errors = _errors_after(found)
    if published is None or not errors.size:
        return NONE
    return f"{round(float(errors.mean()) - published, 2) + 0:+.2f}"  # + 0 turns -0.0 into 0.0


def older_mark(found: Iterable[Result]) -> str:
    """Return a space and the mark of older recipes if the recipe has changed since some of the runs, else nothing."""
    return "" if all(matches_recipe(result.recipe, result.settings) for result in found) else f" {OLDER_RECIPE}"


def format_seeds(found: Sequence[Result]) -> str:
    """Format the recipe, with a mark if it has changed since the runs, and the number of seeds."""
    if not found:
        return NONE
    return f"`{found[0].recipe}`{older_mark(found)}, {len(found)} seed" + ("s" if len(found) > 1 else "")


def format_runs(found: Sequence[Result]) -> str:
    """Format the recipe, the number of seeds, and the cost of each: training episodes, and their mean duration."""
    if not found:
        return NONE
    if not found[0].num_episodes:  # a scripted player
        return f"{format_seeds(found)}, not trained"
    episodes, minutes = found[0].num_episodes / 1e6, np.mean([result.training_seconds for result in found]) / 60
    return f"{format_seeds(found)}, {episodes:.1f}M episodes, {minutes:.0f} min"


def _errors_after(
    found: Sequence[Result],
    num_glimpses: int | None = None,
    locations: str = "learned",
    sample: bool = False,
    split: str = "test",
) -> np.ndarray:
    """Return the errors after some glimpses, None for all: float64 (S,), or (0,) if there were fewer glimpses."""
    curves = error_curves(found, locations, sample, split)
    last = curves.shape[1] if num_glimpses is None else num_glimpses
    return curves[:, last - 1] if 0 < last <= curves.shape[1] else np.zeros(0)


def _num_test_episodes(found: Sequence[Result]) -> int:
    """Return the smallest number of episodes in a test score, 1 if there is no such score.

    Several draws of a test set do not add up: they have the same images.
    """
    return min((s["num_episodes"] for r in found for s in r.scores if s["split"] == "test"), default=1)
