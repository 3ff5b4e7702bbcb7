"""docs/retina.md and docs/ram.md: their commands, their numbers and their figures."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from drawings import gradients
from PIL.ImageFilter import MaxFilter, MinFilter

from doc_pages import ROOT, commands_of, read_page
from glimpse_gym.agents.experiments.result_files import load_results
from glimpse_gym.cli.train import parse_train_arguments
from glimpse_gym.rendering.paper_figures import save_figure

FIGURES = ROOT / "docs" / "figures"
MAX_BRIGHT = 200  # text hinted in another way: 68; without the smallest arrow of a gradient: 322


def test_commands_train_both_variants():
    commands = [shlex.split(line, comments=True) for line in commands_of("docs/ram.md")]
    default, paper = (parse_train_arguments(command[2:]) for command in commands if command[1] == "train")
    assert default.training.loss_weighting == "linear"
    assert (paper.training.loss_weighting, paper.training.pathwise_max_norm) == ("last", 0)
    assert (paper.policy.glimpse_network, paper.policy.core) == ("fc", "relu")


def test_errors_are_those_of_the_results():
    rows = re.findall(r"\| ([\d.]+) \| `(ablation-[\w-]+)` \|", read_page("docs/ram.md"))
    errors = {
        result.recipe: f"{100 * result.errors(split='validation')[-1]:.2f}" for result in load_results(ROOT / "results")
    }
    assert len(rows) == 6
    assert {recipe: error for error, recipe in rows}.items() <= errors.items()


@pytest.mark.parametrize("name", ["gradients", "retina"])
def test_figures_are_those_that_the_scripts_draw(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name, str(tmp_path)])
    runpy.run_path(str(ROOT / "docs" / "drawings" / f"{name}.py"), run_name="__main__")
    num_differing, num_bright = differing_pixels(tmp_path / f"{name}.png", FIGURES / f"{name}.png")
    assert num_differing < 10_000  # text hinted in another way: 5,823
    assert num_bright < MAX_BRIGHT


@pytest.mark.parametrize(("function", "number"), [("draw_location_gradient", None), ("stop", 2)])
def test_a_figure_without_a_gradient_or_a_stop_is_found(function, number, tmp_path, monkeypatch):
    draw = getattr(gradients, function)
    monkeypatch.setattr(
        gradients, function, lambda *args, **options: None if number in (None, args[-1]) else draw(*args, **options)
    )
    save_figure(gradients.make_figure(), tmp_path / "gradients.png")
    assert differing_pixels(tmp_path / "gradients.png", FIGURES / "gradients.png")[1] > MAX_BRIGHT


def differing_pixels(first: Path, second: Path) -> tuple[int, int]:
    """Count the pixels whose color is not found nearby in the other picture: of all, and of those in a bright color."""
    pictures = [PIL.Image.open(path).convert("RGB") for path in (first, second)]
    assert pictures[0].size == pictures[1].size
    num_differing = num_bright = 0
    for picture, other in (pictures, pictures[::-1]):
        color = np.asarray(picture, int)
        low, high = (np.asarray(other.filter(extreme(7)), int) for extreme in (MinFilter, MaxFilter))
        differs = ((color < low - 64) | (color > high + 64)).any(axis=-1)
        num_differing += int(differs.sum())
        num_bright += int((differs & (np.ptp(color, axis=-1) > 64)).sum())
    return num_differing, num_bright
