"""The page of results: tables and figures from the result files, and scan paths of the pretrained agents."""

from __future__ import annotations

from pathlib import Path

from glimpse_gym.agents.checkpoint import load_agent
from glimpse_gym.agents.experiments.figures import save_figures
from glimpse_gym.agents.experiments.recipes import matches_recipe
from glimpse_gym.agents.experiments.results import Result, load_results
from glimpse_gym.agents.experiments.tables import (
    MULTIPLE_CHANGES,
    OLDER_RECIPE,
    ablation_table,
    baseline_table,
    headline_table,
    is_ablation,
    run_table,
)
from glimpse_gym.agents.pretrained import agent_folder, pretrained_names
from glimpse_gym.agents.scanpaths import record_scanpaths, scanpath_figure
from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.rendering.figures import save_png

_CAPTIONS = {
    "error-by-glimpses": "Test error after each glimpse, at learned and random locations and fixed at the center",
    "error-by-values": "Test error against the number of values sensed",
    "learning": "Validation error during training",
    "catch": "Balls caught during training, and distance from gaze to ball at each frame",
    "generalization": "Generalization: test error in environments that the agent was not trained in",
}
_INTRODUCTION = (
    "Made by `glimpse-gym report` from the files in `results/`; `glimpse-gym reproduce RECIPE --seed SEED` makes each "
    "of them again. Unless stated otherwise, errors are test errors in %: one episode for each of the 10,000 test "
    "images, at mean locations, with the first glimpse at a random location; the mean over five draws of canvases and "
    "first glimpses, then over seeds, ± the standard deviation between seeds. All choices were made on the validation "
    "split."
)
_ABLATIONS = (
    "Each row names all settings in which it differs from the default agent. Errors are on the 10,000 validation "
    "images of Cluttered, 60 × 60; their standard error is 0.2 to 0.5."
)
_MULTIPLE_CHANGES = f"{MULTIPLE_CHANGES} Changes several settings at once: not a single-factor comparison."
_OLDER_RECIPE = f"{OLDER_RECIPE} Trained with other settings than the recipe has now; its result file has them all."
_BEGIN, _END = "<!-- headline: made by glimpse-gym report -->", "<!-- end of headline -->"


def write_report(results_folder: Path, docs: Path, readme: Path | None = None) -> list[Path]:
    """Write ``results.md`` and its figures.

    Args:
        results_folder: folder of the result files.
        docs: folder of the page; figures go to its folder ``figures``.
        readme: a file whose headline table, between two marker comments, is replaced too.

    Returns:
        All files written.

    Raises:
        ResultError: there are no results, or a file is damaged or of another format.
        ValueError: the readme lacks the marker comments.
    """
    results = load_results(results_folder)
    (docs / "figures").mkdir(parents=True, exist_ok=True)
    figures = save_figures(docs / "figures", results)
    scanpaths = _save_scanpaths(docs / "figures")
    page = docs / "results.md"
    with atomic_write(page) as temporary:
        temporary.write_text(_page(results, figures, scanpaths), encoding="utf-8")
    if readme:
        _replace_headline(readme, headline_table(results))
    return [page, *figures, *scanpaths, *([readme] if readme else [])]


def _replace_headline(readme: Path, headline: str) -> None:
    before, begin, rest = readme.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{readme} has no place for the headline table: put {_BEGIN} and {_END} on lines of their own")
    with atomic_write(readme) as temporary:
        temporary.write_text(f"{before}{_BEGIN}\n{headline}\n{_END}{after}", encoding="utf-8")


def _save_scanpaths(folder: Path) -> list[Path]:
    """Draw the first test episodes of each pretrained agent."""
    paths = []
    for name in pretrained_names():
        policy, metadata = load_agent(agent_folder(name))
        path = folder / f"scanpaths-{name}.png"
        save_png(path, scanpath_figure(record_scanpaths(policy, metadata, "test", seed=0, num_episodes=24), metadata))
        paths.append(path)
    return paths


def _page(results: list[Result], figures: list[Path], scanpaths: list[Path]) -> str:
    parts = ["# Results", _INTRODUCTION]
    parts += ["## Results against the paper", headline_table(results)]
    parts += ["## Baselines and controls", baseline_table(results)]
    if any(map(is_ablation, results)):
        ablations = ablation_table(results)
        parts += ["## Ablations", _ABLATIONS, ablations]
        parts += [_MULTIPLE_CHANGES] if MULTIPLE_CHANGES in ablations else []
    parts += ["## Figures"]
    parts += [f"{_CAPTIONS[path.stem]}:\n\n![{_CAPTIONS[path.stem]}](figures/{path.name})" for path in figures]
    for path in scanpaths:
        caption = f"Scan paths of `{path.stem.removeprefix('scanpaths-')}`"
        parts.append(f"{caption}:\n\n![{caption}](figures/{path.name})")
    parts += ["## All runs", run_table(results)]
    if not all(matches_recipe(result.recipe, result.settings) for result in results):
        parts.append(_OLDER_RECIPE)
    return "\n\n".join(parts) + "\n"
