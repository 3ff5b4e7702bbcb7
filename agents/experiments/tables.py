"""Tables of results, in Markdown. Errors are in percent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glimpse_gym.agents.experiments.literature import (
    PAPER,
    PAPER_BASELINES,
    PAPER_CATCH,
    PAPER_CATCH_STANDARD_ERROR,
    PREPRINT_MNIST,
    PUBLIC,
)
from glimpse_gym.agents.experiments.recipes import (
    ablated_settings,
    describe_ablation,
    is_single_factor,
    recipe_names,
)
from glimpse_gym.agents.experiments.result_files import Result
from glimpse_gym.agents.experiments.table_cells import (
    LOCATION_NAMES,
    NONE,
    PAPER_MODELS,
    TASK_NAMES,
    format_against,
    format_difference,
    format_error,
    format_runs,
    format_seeds,
    is_ablation,
    mean_error,
    of_paper_model,
    of_ram,
    of_ram_variants,
    of_recipe,
    older_mark,
)
from glimpse_gym.agents.markdown import markdown_table

MULTIPLE_CHANGES = "†"
"""Mark of an ablation that changes several settings."""
_RUNS = "recipe, seeds, cost of each"


def headline_table(results: Sequence[Result]) -> str:
    """Make the headline table: the errors of the paper, the best public one, the paper's model trained here, and ours.

    A row with n glimpses shows our agent trained for n glimpses if there is one, else the error after n glimpses of the
    agent for any number of glimpses; see :func:`table_cells.of_ram`. The paper's model is that of
    ``paper-adam-TASK`` and ``paper-sgd-TASK`` with the lower mean validation error. Errors that are significantly below
    the paper's are in bold; see :mod:`glimpse_gym.agents.experiments.significance`.
    """
    rows = []
    for task, paper_errors in PAPER.items():
        paper_model, public = of_paper_model(results, task), PUBLIC[task]
        for num_glimpses, error in paper_errors.items():
            ours = of_ram(results, task, num_glimpses)
            rows.append(
                [
                    TASK_NAMES[task],
                    str(num_glimpses),
                    f"{error:.2f}",
                    f"{public.error:.2f}" if public.num_glimpses == num_glimpses else NONE,
                    format_against(error, paper_model, num_glimpses),
                    format_against(error, ours, num_glimpses),
                    format_runs(ours),
                ]
            )
    catch = of_recipe(results, "ram-catch")
    missed = format_against(PAPER_CATCH.error, catch, 1, PAPER_CATCH_STANDARD_ERROR)
    published = [f"{PAPER_CATCH.error:.0f}", f"{PUBLIC['catch'].error:.0f}"]
    rows.append(["Catch, balls missed", str(PAPER_CATCH.num_glimpses), *published, NONE, missed, format_runs(catch)])
    header = ["task", "glimpses", "paper", "best public", "RAM as in the paper", "ours", _RUNS]
    return markdown_table(header, rows)


def paper_model_table(results: Sequence[Result]) -> str:
    """Make the table of the paper's model, trained here with each optimizer: errors after the last glimpse."""
    rows = []
    for task, paper_errors in PAPER.items():
        num_glimpses = max(paper_errors)
        error = paper_errors[num_glimpses]
        for prefix, optimizer in PAPER_MODELS.items():
            found = of_recipe(results, f"{prefix}-{task}")
            rows.append(
                [
                    TASK_NAMES[task],
                    optimizer,
                    str(num_glimpses),
                    f"{error:.2f}",
                    format_against(error, found),
                    format_difference(error, found),
                    format_error(found, locations="random"),
                    format_runs(found),
                ]
            )
    header = ["task", "optimizer", "glimpses", "paper", "ours", "difference", LOCATION_NAMES["random"], _RUNS]
    return markdown_table(header, rows)


def variant_table(results: Sequence[Result]) -> str:
    """Make the table of the recipes of our RAM, for tasks with several: errors after the last glimpse."""
    rows = []
    for task in TASK_NAMES:
        for runs in of_ram_variants(results, task):
            errors = format_error(runs, split="validation"), format_error(runs)
            rows.append([TASK_NAMES[task], *errors, format_runs(runs)])
    return markdown_table(["task", "validation error", "test error", _RUNS], rows)


def few_glimpses_table(results: Sequence[Result]) -> str:
    """Make the table of MNIST by number of glimpses, with the first one at a random location or at the center."""
    rows = []
    for num_glimpses, error in PAPER["mnist"].items():
        readings = [of_ram(results, "mnist", num_glimpses, variant) for variant in ("", "center")]
        rows.append(
            [
                str(num_glimpses),
                f"{error:.2f}",
                f"{PREPRINT_MNIST[num_glimpses]:.2f}",
                *(format_against(error, found, num_glimpses) for found in readings),
                "; ".join(format_seeds(found) for found in readings if found) or NONE,
            ]
        )
    ours = ["ours, first glimpse random", "ours, first glimpse at the center"]
    return markdown_table(["glimpses", "paper (NIPS)", "preprint", *ours, "recipes, seeds"], rows)


def baseline_table(results: Sequence[Result]) -> str:
    """Make the table of baselines and controls, and of our RAM at learned, random, center and sampled locations."""
    rows = []
    for task in TASK_NAMES:
        recipes = {result.recipe for result in results if result.task == task and not is_ablation(result)}
        for recipe in sorted(name for name in recipes if not name.startswith(("ram", "paper-"))):
            found, paper = of_recipe(results, recipe), PAPER_BASELINES.get(recipe)
            errors = [NONE if paper is None else f"{paper:.2f}", format_error(found), format_difference(paper, found)]
            rows.append([TASK_NAMES[task], found[0].model, *errors, format_runs(found)])
        if best := of_ram(results, task):
            errors_at = {text: format_error(best, locations=name) for name, text in LOCATION_NAMES.items()}
            errors_at["sampled locations"] = format_error(best, sample=True)
            for text, error in errors_at.items():
                rows.append([TASK_NAMES[task], f"{best[0].model}; {text}", NONE, error, NONE, format_runs(best)])
    return markdown_table(["task", "model", "paper", "ours", "difference", _RUNS], rows)


def ablation_table(results: Sequence[Result]) -> str:
    """Make the table of ablations: validation errors, lowest first, each row labeled with all its changes."""
    ablations = [of_recipe(results, name) for name in {result.recipe for result in results if is_ablation(result)}]
    ablations.sort(key=lambda found: (mean_error(found, "validation"), found[0].recipe))
    rows = [
        [
            _ablation_label(found[0]),
            *(format_error(found, locations=locations, split="validation") for locations in ("learned", "random")),
            str(len(found)),
            f"{found[0].num_episodes:,}",
            f"{np.mean([result.training_seconds for result in found]) / 60:.1f} min",
        ]
        for found in ablations
    ]
    names = [LOCATION_NAMES["learned"], LOCATION_NAMES["random"]]
    return markdown_table(["change from the default agent", *names, "seeds", "episodes", "training"], rows)


def run_table(results: Sequence[Result]) -> str:
    """Make the table of all runs, one row each."""
    rows = []
    for r in sorted(results, key=lambda r: (r.task, r.recipe, r.seed)):
        mean_scores = [s for s in r.scores if s["locations"] == "learned" and not s["sample"]]
        score = next((s for s in mean_scores if s["split"] == "test"), mean_scores[0])
        error, standard_error = 100 * score["errors"][-1], 100 * score["standard_errors"][-1]
        rows.append(
            [
                f"`glimpse-gym reproduce {r.recipe} --seed {r.seed}`{older_mark([r])}",
                f"{score['split']} {error:.2f} ± {standard_error:.2f}",
                f"{r.num_parameters:,}",
                f"{r.num_frames / 1e6:.1f}M",
                f"{r.training_seconds / 60:.1f} min",
                f"{r.machine}, torch {r.versions['torch']}, glimpse_gym {r.versions['glimpse_gym']}",
            ]
        )
    header = ["command", "error, first draw ± s.e.", "parameters", "training glimpses", "training", "machine, versions"]
    return markdown_table(header, rows)


def _ablation_label(result: Result) -> str:
    """List all changes from the default agent, with a mark if there are several: no single-factor comparison.

    An optimizer together with its learning rate counts as one change.
    """
    if result.recipe not in recipe_names():
        return result.model
    if is_single_factor(result.recipe, result.settings):
        return describe_ablation(result.recipe, result.settings)
    changes = ablated_settings(result.recipe, result.settings)
    if changes.keys() == {"optimizer", "learning_rate"}:
        return f"optimizer = {changes['optimizer']} (learning rate re-tuned: {changes['learning_rate']})"
    return f"{describe_ablation(result.recipe, result.settings)} {MULTIPLE_CHANGES}"
