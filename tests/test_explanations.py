"""docs/retina.md and docs/ram.md: their commands, their numbers and their figures."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from doc_pages import commands_of, read_page
from glimpse_gym.agents.experiments.recipes import recipe_names
from glimpse_gym.agents.experiments.result_files import load_results
from glimpse_gym.cli.train import parse_train_arguments

ROOT = Path(__file__).parent.parent


def test_commands_are_accepted():
    commands = [shlex.split(line, comments=True) for line in commands_of("docs/ram.md")]
    assert [command[:2] for command in commands] == [["glimpse-gym", name] for name in ("train", "reproduce", "train")]
    default, paper = (parse_train_arguments(commands[i][2:]) for i in (0, 2))
    assert default.training.loss_weighting == "linear"
    assert (paper.training.loss_weighting, paper.training.pathwise_max_norm) == ("last", 0)
    assert (paper.policy.glimpse_network, paper.policy.core) == ("fc", "relu")
    assert commands[1][2] in recipe_names()


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
    drawn, committed = (
        np.asarray(PIL.Image.open(folder / f"{name}.png").convert("L"), float)
        for folder in (tmp_path, ROOT / "docs" / "figures")
    )
    assert drawn.shape == committed.shape
    assert np.abs(drawn - committed).mean() < 1  # of 255: fonts are drawn a little differently elsewhere
