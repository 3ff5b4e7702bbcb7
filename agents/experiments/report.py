"""The page of results: tables and figures out of the result files, and plates of where the shipped agents look."""

from __future__ import annotations

from pathlib import Path

from glimpse_gym.agents.checkpoint import load_agent
from glimpse_gym.agents.experiments.figures import save_figures
from glimpse_gym.agents.experiments.results import Result, load_results
from glimpse_gym.agents.experiments.tables import ablation_table, control_table, headline_table, is_ablation, seed_table
from glimpse_gym.agents.pretrained import SHIPPED, shipped_names
from glimpse_gym.agents.scanpaths import look, plate_of
from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.rendering.figures import save_png

_CAPTIONS = {
    "error-by-glimpses": "Error after each glimpse, at the agent's own places, at random ones, and at the center",
    "error-by-values": "The same against the number of values sensed",
    "learning": "Validation error against episodes",
    "catch": "Balls caught against frames, and how far the gaze is from the ball",
    "elsewhere": "The same weights in worlds they were not trained in",
}


_BEGIN, _END = "<!-- headline: made by glimpse-gym report -->", "<!-- end of headline -->"


def write_page(results_folder: Path, docs: Path, readme: Path | None = None) -> list[Path]:
    """Write ``results.md`` and the figures it shows.

    Args:
        results_folder: where the results are.
        docs: the folder of the page.
        readme: a file whose headline table, between two marks, is made anew too.

    Raises:
        ResultError: there are no results, or a damaged one.
        ValueError: the readme has no marks.
    """
    results = load_results(results_folder)
    (docs / "figures").mkdir(parents=True, exist_ok=True)
    figures = save_figures(docs / "figures", results)
    plates = _save_plates(docs / "figures")
    page = docs / "results.md"
    with atomic_write(page) as temporary:
        temporary.write_text(_page(results, figures, plates), encoding="utf-8")
    if readme:
        _renew_headline(readme, headline_table(results))
    return [page, *figures, *plates, *([readme] if readme else [])]


def _renew_headline(readme: Path, headline: str) -> None:
    before, begin, rest = readme.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{readme} has no place for the headline table: put {_BEGIN} and {_END} on lines of their own")
    with atomic_write(readme) as temporary:
        temporary.write_text(f"{before}{_BEGIN}\n{headline}\n{_END}{after}", encoding="utf-8")


def _save_plates(folder: Path) -> list[Path]:
    paths = []
    for name in shipped_names():
        agent, card = load_agent(SHIPPED / name)
        path = folder / f"scanpaths-{name}.png"
        save_png(path, plate_of(look(agent, card, "test", seed=0, number=24), card))
        paths.append(path)
    return paths


def _page(results: list[Result], figures: list[Path], plates: list[Path]) -> str:
    parts = [
        "# Results",
        "Made by `glimpse-gym report` out of the files in `results/`, each of which `glimpse-gym reproduce RECIPE "
        "--seed SEED` makes again. Errors are test errors in %: of one run over each of the 10,000 test images, at "
        "mean locations, the first glimpse at a random place; the mean over five draws of canvases and first glimpses, "
        "and then over seeds, with the standard deviation between seeds. All was chosen on the validation split.",
        "## The paper's rows",
        headline_table(results),
        "## Beside them",
        control_table(results),
    ]
    if any(map(is_ablation, results)):
        parts += ["## What decides", "On the 10,000 validation images of Cluttered, 60 × 60:", ablation_table(results)]
    parts += ["## Figures"]
    parts += [f"{_CAPTIONS[path.stem]}:\n\n![{_CAPTIONS[path.stem]}](figures/{path.name})" for path in figures]
    parts += [f"Where `{path.stem.partition('-')[2]}` looks:\n\n![Scan paths](figures/{path.name})" for path in plates]
    parts += ["## Every run", seed_table(results)]
    return "\n\n".join(parts) + "\n"
