"""The page of results, from results made by hand."""

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.checkpoint import CheckpointMetadata, save_agent
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.experiments import figures, report
from glimpse_gym.agents.experiments.report import write_report
from glimpse_gym.agents.experiments.result_files import ResultError, load_results
from glimpse_gym.agents.experiments.search_files import load_searches, save_search
from glimpse_gym.agents.experiments.search_tables import search_caption, search_table
from glimpse_gym.agents.experiments.tables import (
    TASK_NAMES,
    ablation_table,
    baseline_table,
    few_glimpses_table,
    headline_table,
    paper_model_table,
    run_table,
)
from glimpse_gym.agents.ram import RAM
from glimpse_gym.agents.task_envs import make_envs
from hand_made_results import make_result, make_score, ram_results, results_for_all_figures, save_results
from small_searches import make_search_result

ENV = "glimpse_gym/Images-v0"
SMALL = {"glimpse_network": "fc", "glimpse_units": 8, "location_units": 8, "glimpse_features": 16, "hidden_units": 16}


def assert_not_blank(path, color):
    """Fail unless a picture has something of this color on it."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert min(pixels.shape[:2]) > 200
    assert (pixels.min(), pixels.max()) < (80, 256)
    distance = np.abs(pixels - np.array(color)).sum(axis=-1)
    assert (distance < 30).sum() > 20, path


def rgb(text):
    return [int(text[i : i + 2], 16) for i in (1, 3, 5)]


def test_page_has_all_tables_and_figures(tmp_path, no_agents):
    docs = tmp_path / "docs"
    folder = save_results(tmp_path / "results", results_for_all_figures())
    written = write_report(folder, docs)
    names = ["error-by-glimpses", "error-by-values", "learning", "catch", "generalization"]
    assert written == [docs / "results.md", *(docs / "figures" / f"{name}.png" for name in names)]
    assert sorted(path for path in docs.rglob("*") if path.is_file()) == sorted(written)
    text = (docs / "results.md").read_text(encoding="utf-8")
    loaded = load_results(folder)
    tables = (headline_table, paper_model_table, few_glimpses_table, baseline_table, ablation_table, run_table)
    for table in tables:
        assert text.count(table(loaded)) == 1
    assert re.findall(r"^#+ (.*)", text, re.MULTILINE) == [
        *("Results", "Results against the paper", "The paper's model", "MNIST with few glimpses"),
        *("Baselines and controls", "Ablations", "Figures", "All runs"),
    ]
    assert re.findall(r"!\[.*\]\((.*)\)", text) == [f"figures/{name}.png" for name in names]
    for name in names:
        # In the last figure colors are matplotlib's own.
        color = "#1f77b4" if name == "generalization" else figures._COLORS["learned"]
        assert_not_blank(docs / "figures" / f"{name}.png", rgb(color))


def test_page_explains_the_marks_it_has(tmp_path, no_agents):
    result, *_ = ram_results()
    older = dataclasses.replace(result, training=result.training | {"batch_size": 64})
    for name, results, explained in (
        ("ablations", results_for_all_figures(), {"†", "‡"}),
        ("older", [older], {"‡"}),
        ("neither", [result], set()),
    ):
        write_report(save_results(tmp_path / name / "results", results), tmp_path / name / "docs")
        text = (tmp_path / name / "docs" / "results.md").read_text(encoding="utf-8")
        assert {line[0] for line in text.splitlines() if line[:1] in ("†", "‡")} == explained
        assert {mark for mark in "†‡" if mark in text} == explained


def test_page_has_the_searches_after_the_paper_s_model(tmp_path, no_agents):
    results = save_results(tmp_path / "results", ram_results())
    write_report(results, tmp_path / "without")
    assert "Random searches" not in (tmp_path / "without" / "results.md").read_text(encoding="utf-8")
    search = make_search_result()
    save_search(results, search)
    write_report(results, tmp_path / "docs")
    text = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    before, after = text.split("### Random searches")
    assert "## The paper's model" in before
    assert "## MNIST with few glimpses" in after
    assert f"{search_caption(search)}\n\n{search_table(search)}" in after


def test_page_of_a_single_result(tmp_path, no_agents):
    found = [make_result("conv-mnist", [make_score("test", [0.01])])]
    docs = tmp_path / "docs"
    assert write_report(save_results(tmp_path / "results", found), docs) == [docs / "results.md"]
    text = (docs / "results.md").read_text(encoding="utf-8")
    assert baseline_table(found) in text
    assert "Ablations" not in text


@pytest.mark.parametrize("split", ["test", "validation"])
def test_page_of_results_that_lack_most_scores(tmp_path, no_agents, split):
    kinds = ("ram", "ram2", "ram-center", "ram2-center", "paper", "paper-adam", "paper-sgd", "cnn", "fc256")
    recipes = [f"{kind}-{task}" for kind in kinds for task in TASK_NAMES]
    recipes += ["screen-catch", "ablation-adam", "ablation-augmentation", "ablation-of-mine"]
    nothing = {"history": [], "num_episodes": 0, "num_frames": 0, "training": {}, "training_seconds": 0}
    found = [make_result(recipe, [make_score(split, [0.01])], **nothing, gaze_distances=[]) for recipe in recipes]
    odd = {"env_kwargs": {"pathwise_max_norm": [0, 1], "zoom": None, "rotation": True}}
    found.append(make_result("ablation-no-pathwise", [make_score(split, [0.5])], **nothing | odd))
    written = write_report(save_results(tmp_path / "results", found), tmp_path / "docs")
    text = written[0].read_text(encoding="utf-8")
    assert all(f"`glimpse-gym reproduce {recipe} --seed 0`" in text for recipe in recipes)
    assert "pathwise_max_norm = [0, 1]" in text
    assert "augmentation = none" in text


def test_report_without_results_writes_no_page(tmp_path):
    with pytest.raises(ResultError, match="holds no results"):
        write_report(tmp_path / "results", tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_page_has_scan_paths_of_the_pretrained_agents(tmp_path, no_agents):
    # A tenth of these images is the test split, of which 24 are drawn.
    images = np.random.default_rng(1).integers(0, 256, (240, 8, 8), np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(240) % 3)
    env_kwargs = {"images": str(tmp_path / "images.npz"), "patch_size": 4, "num_scales": 2, "num_glimpses": 3}
    policy = RAM(TaskSpec.from_env(make_envs(ENV, env_kwargs, "test", 1)), RAMConfig(**SMALL))
    save_agent(no_agents / "ram-tiny", policy, CheckpointMetadata(ENV, env_kwargs, policy.config, policy.task_spec))
    results_folder = save_results(tmp_path / "results", [make_result("conv-mnist", [make_score("test", [0.1])])])
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    figure = tmp_path / "docs" / "figures" / "scanpaths-ram-tiny.png"
    assert write_report(results_folder, tmp_path / "docs")[-1] == figure
    text = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "Scanpaths of `ram-tiny`:\n\n![Scanpaths of `ram-tiny`](figures/scanpaths-ram-tiny.png)" in text
    with Image.open(figure) as picture:
        assert len(set(picture.convert("RGB").getdata())) > 100


def test_readme_gets_a_new_headline_and_nothing_else(tmp_path, no_agents):
    begin, end = report._BEGIN, report._END
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{begin}\n| old |\n{end}\n\nMore – of it.\n", encoding="utf-8")
    folder = save_results(tmp_path / "results", [make_result("screen-catch", [make_score("test", [0.1])])])
    (tmp_path / "docs").mkdir()
    headline = headline_table(load_results(folder))
    for _ in range(2):
        assert write_report(folder, tmp_path / "docs", readme)[-1] == readme
        expected = f"# Title\n\n{begin}\n{headline}\n{end}\n\nMore – of it.\n"
        assert readme.read_text(encoding="utf-8") == expected


def test_committed_pages_have_the_tables_of_the_committed_results():
    root = Path(__file__).parent.parent
    results = load_results(root / "results")
    readme, page = ((root / name).read_text(encoding="utf-8") for name in ("README.md", "docs/results.md"))
    assert headline_table(results) in readme
    tables = (headline_table, paper_model_table, few_glimpses_table, baseline_table, ablation_table)
    assert all(table(results) in page for table in (*tables, run_table))
    assert all(search_table(search) in page for search in load_searches(root / "results"))


@pytest.mark.parametrize("kind", ["fifo", "bytes"])
def test_readme_that_is_no_text_is_refused(tmp_path, no_agents, kind):
    readme = tmp_path / "README.md"
    if kind == "fifo":
        os.mkfifo(readme)
    else:
        readme.write_bytes(b"\xff\xfe")
    folder = save_results(tmp_path / "results", [make_result("screen-catch", [make_score("test", [0.1])])])
    (tmp_path / "docs").mkdir()
    with pytest.raises((OSError, ValueError), match=rf"{readme} is not a (regular file|text in UTF-8)"):
        write_report(folder, tmp_path / "docs", readme)


@pytest.mark.parametrize("text", ["", "# Title\n", "{begin}\n", "{end}\n", "{end}\n{begin}\n"])
def test_readme_without_markers_is_left_alone(tmp_path, no_agents, text):
    readme = tmp_path / "README.md"
    before = text.format(begin=report._BEGIN, end=report._END)
    readme.write_text(before)
    folder = save_results(tmp_path / "results", [make_result("screen-catch", [make_score("test", [0.1])])])
    (tmp_path / "docs").mkdir()
    with pytest.raises(ValueError, match=re.escape(f"{readme} has no place for the headline table")):
        write_report(folder, tmp_path / "docs", readme)
    assert readme.read_text() == before
