"""Results as tables, in Markdown. Errors are in per cent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from glimpse_gym.agents.experiments.literature import PAPER, PAPER_CATCH, PAPER_CONTROLS, PUBLIC
from glimpse_gym.agents.experiments.results import Result

TASK_NAMES = {
    "mnist": "MNIST, 28 × 28",
    "translated60": "Translated, 60 × 60",
    "cluttered60": "Cluttered, 60 × 60",
    "cluttered100": "Cluttered, 100 × 100",
    "catch": "Catch, 24 × 24",
}
_NONE = "–"


def headline_table(results: Sequence[Result]) -> str:
    """A line for each row of the paper: its number, the best public one, and ours, bold where it is below the first."""
    rows = []
    for task, by_glimpses in PAPER.items():
        best, faithful = of_recipe(results, f"ram-{task}"), of_recipe(results, f"paper-{task}")
        for num_glimpses, error in by_glimpses.items():
            public = PUBLIC[task]
            ours = of_recipe(results, f"ram{num_glimpses}-{task}") or best  # one made for so few, or that for all
            rows.append(
                [
                    TASK_NAMES[task],
                    str(num_glimpses),
                    f"{error:.2f}",
                    f"{public.error:.2f}" if public.num_glimpses == num_glimpses else _NONE,
                    _error_of(faithful, num_glimpses) if num_glimpses == max(by_glimpses) else _NONE,
                    _error_against(error, ours, num_glimpses),
                    _cost_of(ours),
                ]
            )
    catch = of_recipe(results, "ram-catch")
    missed = _error_against(PAPER_CATCH.error, catch, 1)
    published = [f"{PAPER_CATCH.error:.0f}", f"{PUBLIC['catch'].error:.0f}"]
    rows.append(["Catch, balls missed", str(PAPER_CATCH.num_glimpses), *published, _NONE, missed, _cost_of(catch)])
    header = ["task", "glimpses", "paper", "best public", "RAM as in the paper", "ours", "seeds, cost of each"]
    return table(header, rows)


def control_table(results: Sequence[Result]) -> str:
    """What was trained beside RAM, against the paper's likes, and RAM with its choice of places taken away."""
    rows = []
    for task in TASK_NAMES:
        there = {result.recipe for result in results if result.task == task and not is_ablation(result)}
        for recipe in sorted(name for name in there if not name.startswith(("ram", "paper-"))):
            found = of_recipe(results, recipe)
            paper = f"{PAPER_CONTROLS[recipe]:.2f}" if recipe in PAPER_CONTROLS else _NONE
            rows.append([TASK_NAMES[task], found[0].model, paper, _error_of(found), _cost_of(found)])
        if best := of_recipe(results, f"ram-{task}"):
            for locations, text in (("learned", "own places"), ("random", "random places"), ("center", "the center")):
                errors = _error_of(best, locations=locations)
                rows.append([TASK_NAMES[task], f"{best[0].model}; tested at {text}", _NONE, errors, _cost_of(best)])
            sampled = _error_of(best, sample=True)
            rows.append([TASK_NAMES[task], f"{best[0].model}; tested with samples", _NONE, sampled, _cost_of(best)])
    return table(["task", "model", "paper", "ours", "seeds, cost of each"], rows)


def ablation_table(results: Sequence[Result]) -> str:
    """What each part is worth, on the validation split, the best first."""
    names = {result.recipe for result in results if is_ablation(result)}
    rows = [
        [
            found[0].model,
            *(_error_of(found, locations=locations, split="validation") for locations in ("learned", "random")),
            f"{found[0].episodes:,}",
            f"{np.mean([r.seconds for r in found]) / 60:.1f} min",
        ]
        for found in sorted(
            (of_recipe(results, name) for name in names),
            key=lambda found: error_curves(found, split="validation")[:, -1].mean(),
        )
    ]
    return table(["", "learned places", "random places", "episodes", "training"], rows)


def seed_table(results: Sequence[Result]) -> str:
    """A line for each run."""
    rows = []
    for r in sorted(results, key=lambda r: (r.task, r.recipe, r.seed)):
        own = [s for s in r.scores if s["locations"] == "learned" and not s["sample"]]
        score = next((s for s in own if s["split"] == "test"), own[0])
        error, standard_error = 100 * score["errors"][-1], 100 * score["standard_errors"][-1]
        rows.append(
            [
                f"`glimpse-gym reproduce {r.recipe} --seed {r.seed}`",
                f"{score['split']} {error:.2f} ± {standard_error:.2f}",
                f"{r.num_parameters:,}",
                f"{r.frames / 1e6:.1f}M",
                f"{r.seconds / 60:.1f} min",
                f"{r.machine}, torch {r.versions['torch']}, glimpse_gym {r.versions['glimpse_gym']}",
            ]
        )
    return table(["command", "error, first draw ± s.e.", "weights", "glimpses seen", "training", "on"], rows)


def is_ablation(result: Result) -> bool:
    """Whether it tells what a part is worth, and nothing else."""
    return result.recipe.startswith("ablation-")


def of_recipe(results: Iterable[Result], recipe: str) -> list[Result]:
    """The results of one recipe, a seed each."""
    return [result for result in results if result.recipe == recipe]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def error_curves(
    found: Sequence[Result], locations: str = "learned", sample: bool = False, split: str = "test"
) -> np.ndarray:
    """Errors in per cent after each glimpse, a row for each seed, float64 (S, T); of S = 0, float64 (0, 0)."""
    curves = [curve for r in found if (curve := r.errors(locations, sample, split)) is not None]
    return 100 * np.array(curves) if curves else np.zeros((0, 0))


def _error_of(
    found: Sequence[Result],
    num_glimpses: int | None = None,
    locations: str = "learned",
    sample: bool = False,
    split: str = "test",
) -> str:
    """The mean over seeds, and, of several, how far they spread (the standard deviation)."""
    curves = error_curves(found, locations, sample, split)
    if not curves.size:
        return _NONE
    errors = curves[:, -1 if num_glimpses is None else num_glimpses - 1]
    spread = f" ± {np.std(errors, ddof=1):.2f}" if len(errors) > 1 else ""
    return f"{np.mean(errors):.2f}{spread}"


def _error_against(published: float, found: Sequence[Result], num_glimpses: int) -> str:
    error = _error_of(found, num_glimpses)
    return f"**{error}**" if found and error_curves(found)[:, num_glimpses - 1].mean() < published else error


def _cost_of(found: Sequence[Result]) -> str:
    if not found or not found[0].episodes:  # of which there are none for a player that does not learn
        return _NONE
    episodes, minutes = found[0].episodes / 1e6, np.mean([result.seconds for result in found]) / 60
    return f"{len(found)}, {episodes:.1f}M episodes, {minutes:.0f} min"
