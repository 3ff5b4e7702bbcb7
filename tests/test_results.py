"""Recipes, what they come to, and what is shown of it. T glimpses."""

import dataclasses
import json
import os
import re
import signal

import numpy as np
import pytest
from PIL import Image

import glimpse_gym.agents
import oracles
from glimpse_gym.agents import evaluation, figures, page, recipes, shipped
from glimpse_gym.agents.checkpoint import CheckpointError, load_agent, load_card, save_agent
from glimpse_gym.agents.classifier import ClassifierConfig
from glimpse_gym.agents.evaluation import Conditions, evaluate, make_envs
from glimpse_gym.agents.kinds import kind_of, make_agent
from glimpse_gym.agents.learning import ImageLearner, ImageTrainConfig
from glimpse_gym.agents.page import write_page
from glimpse_gym.agents.ppo import GameTrainConfig
from glimpse_gym.agents.published import PAPER, PAPER_CONTROLS, PUBLIC
from glimpse_gym.agents.ram import RAMConfig
from glimpse_gym.agents.recipes import Recipe, load_recipe, recipe_names
from glimpse_gym.agents.results import Result, ResultError, load_results, reproduce, save_result
from glimpse_gym.agents.scripted import ScriptedConfig
from glimpse_gym.agents.tables import TASK_NAMES, ablation_table, control_table, headline_table, seed_table
from glimpse_gym.agents.task import Task
from glimpse_gym.agents.training import Run
from glimpse_gym.envs import CatchVectorEnv

ENV, CATCH = "glimpse_gym/Images-v0", "glimpse_gym/Catch-v0"
SMALL = {"glimpse_network": "full", "glimpse_units": 8, "location_units": 8, "glimpse_features": 16, "hidden_units": 16}
SIDES = {"mnist": 28, "translated60": 60, "cluttered60": 60, "cluttered100": 100, "catch": 24}

# ------------------------------------------------------------------------------------------------- recipes

every_recipe = pytest.mark.parametrize("name", recipe_names())


def blank(task):
    """Images of the digits' size in the place of the real ones."""
    if task == "catch":
        return {}
    return {"images": np.zeros((20, 28, 28), np.uint8), "labels": np.arange(20) % 10}


@every_recipe
def test_a_recipe_is_what_its_file_says(name):
    entries = json.loads(recipes._FOLDER.joinpath(f"{name}.json").read_text())
    optional = {"final", "elsewhere"}
    assert entries.keys() - optional == {
        *("task", "model", "env_id", "env_kwargs", "augmentation", "agent", "config", "training")
    }
    recipe = load_recipe(name)
    assert recipe.name == name
    for key in ("task", "model", "env_id", "env_kwargs", "augmentation"):
        assert getattr(recipe, key) == entries[key]
    assert recipe.final == entries.get("final", True)
    assert list(recipe.elsewhere) == entries.get("elsewhere", [])
    assert kind_of(recipe.config) == entries["agent"]
    for part in ("config", "training"):
        values = getattr(recipe, part) and dataclasses.asdict(getattr(recipe, part))
        if values is None:  # nothing is trained
            assert entries[part] is None
            continue
        assert values == dataclasses.asdict(type(getattr(recipe, part))()) | entries[part]


@every_recipe
def test_the_env_of_a_recipe_can_be_made_and_acted_in(name):
    recipe = load_recipe(name)
    assert recipe.task in TASK_NAMES
    if recipe.training is None:
        assert isinstance(recipe.config, ScriptedConfig)
    else:
        assert isinstance(recipe.training, GameTrainConfig if recipe.task == "catch" else ImageTrainConfig)
    assert all(len(changes) == 1 for changes in recipe.elsewhere)  # which is what its figure can show
    for changes in (recipe.augmentation, *recipe.elsewhere, {}):
        envs = make_envs(recipe.env_id, recipe.env_kwargs | changes | blank(recipe.task), "train", 2)
        agent = make_agent(Task.of(envs), recipe.config).eval()
        agent.check_env(envs)
        observation, _ = envs.reset(seed=0)
        action, _ = agent.act(observation, agent.initial_state(2))
        assert envs.action_space.contains(action)
    side = SIDES[recipe.task]
    assert envs.unwrapped.image[0].shape == (side, side)
    if isinstance(recipe.config, ClassifierConfig) or recipe.env_kwargs.get("observe") == "screen":
        assert observation["glimpse"].shape == (2, 1, side, side)  # all there is to see, from the centre
        assert not observation["location"].any()


@every_recipe
def test_the_name_of_a_recipe_tells_its_task(name):
    recipe = load_recipe(name)
    assert name.startswith("ablation-") or name.endswith(f"-{recipe.task}")
    # No choice rests on the test split: what was tried on the way is not measured there.
    assert recipe.final == (not name.startswith("ablation-"))
    assert not (recipe.augmentation.keys() | recipe.env_kwargs.keys()) & {"split", "images", "labels"}


def test_there_is_a_recipe_for_every_row_of_the_tables():
    names = recipe_names()
    assert names == sorted(names)
    assert {f"{kind}-{task}" for kind in ("ram", "paper") for task in PAPER} | {"ram-catch"} <= set(names)
    assert PAPER_CONTROLS.keys() <= set(names)


@pytest.mark.parametrize("name", ["ram", "RAM-mnist", "", "../recipes/ram-mnist", "ram-mnist.json"])
def test_an_unknown_recipe_is_answered_with_a_list(name):
    with pytest.raises(ValueError, match=r"there is no recipe ") as caught:
        load_recipe(name)
    assert repr(name) in str(caught.value)
    assert set(recipe_names()) <= set(re.split(r"[ ,]+", str(caught.value)))


# ----------------------------------------------------------------------------------------------- reproducing


@pytest.fixture(autouse=True, scope="module")
def _no_curves():
    """Of each run; they cost more than the tiny trainings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_draw_curve", lambda run: None)
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A recipe that takes a second."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    images = 60 * labels[:, None, None] + rng.integers(0, 130, (200, 1, 1)) + rng.integers(0, 5, (200, 8, 8))
    np.savez(path, images=images.astype(np.uint8), labels=labels)
    return Recipe(
        name="ram-mnist",
        task="mnist",
        model="RAM, tiny",
        env_id=ENV,
        env_kwargs={"images": str(path), "patch_size": 4, "num_scales": 2, "num_glimpses": 3},
        augmentation={"shift": [-1, 1]},
        config=RAMConfig(**SMALL, core="gru"),
        training=ImageTrainConfig(
            num_episodes=590,
            batch_size=20,
            num_evaluations=4,
            validation_episodes=10,
            learning_rate=0.02,
            warmup_updates=2,
        ),
        elsewhere=({"canvas_size": 10}, {"canvas_size": 12}),
    )


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """The folder in which the tiny recipe was reproduced, and its result."""
    folder = tmp_path_factory.mktemp("made")
    return folder, reproduce(tiny, 3, folder / "runs", folder / "results", progress=False)


def timeless(result):
    """A result without what no two runs have in common."""
    history = [record | {"seconds": 0.0} for record in result.history]
    return dataclasses.replace(result, seconds=0.0, history=history)


def test_a_result_is_read_back_as_it_was(made):
    folder, result = made
    assert load_results(folder / "results") == [result]
    assert [path.name for path in (folder / "results").iterdir()] == ["ram-mnist-seed3.json"]


def test_a_result_says_what_was_done(tiny, made):
    folder, result = made
    assert (result.recipe, result.task, result.model, result.seed) == ("ram-mnist", "mnist", "RAM, tiny", 3)
    assert (result.env_id, result.env_kwargs) == (ENV, tiny.env_kwargs)
    assert result.config == dataclasses.asdict(tiny.config)
    assert result.training == dataclasses.asdict(tiny.training) | {"seed": 3, "augmentation": {"shift": [-1, 1]}}
    assert result.values_per_glimpse == 2 * 4 * 4
    glimpse_network = (32 * 8 + 8) + (2 * 8 + 8) + 2 * (8 * 16 + 16)
    core = 3 * (16 * 16 + 16 + 16 * 16 + 16)
    assert result.num_parameters == glimpse_network + core + (16 * 2 + 2) + (16 * 3 + 3) + (16 + 1)
    assert (result.episodes, result.frames) == (600, 1800)  # thirty whole batches
    assert [record["episodes"] for record in result.history] == [160, 300, 460, 600]
    for record in result.history:
        assert record.keys() == {"episodes", "seconds", "validation_error", "training_error"}
        assert 0 < record["seconds"] <= result.seconds
    assert result.gaze is None
    assert result.machine
    assert result.versions.keys() == {"python", "glimpse_gym", "gymnasium", "numpy", "torch"}
    assert load_card(folder / "runs" / "ram-mnist-seed3").command == "glimpse-gym reproduce ram-mnist --seed 3"


def test_scores_are_those_of_evaluations_and_lie_beside_the_agent(made):
    folder, result = made
    agent, card = load_agent(folder / "runs" / "ram-mnist-seed3")
    looks = [("learned", False), ("learned", True), ("random", False), ("center", False)]
    expected = [Conditions(split, *look) for split in ("validation", "test") for look in looks]
    expected += [Conditions("test", seed=seed) for seed in (1, 2, 3, 4)]
    scores = [evaluate(agent, ENV, card.env_kwargs, conditions)._asdict() for conditions in expected]
    assert result.scores == scores
    assert card.scores == scores
    assert {score["num_episodes"] for score in scores} == {20}
    elsewhere = [{"canvas_size": 10}, {"canvas_size": 12}]
    assert result.generalisation == [
        {"env_kwargs": change, "score": evaluate(agent, ENV, card.env_kwargs | change, Conditions("test"))._asdict()}
        for change in elsewhere
    ]


def test_errors_are_means_over_the_draws_of_the_test_split(made):
    _, result = made
    draws = [s["errors"] for s in result.scores if (s["split"], s["locations"], s["sample"]) == ("test", "learned", 0)]
    assert len({tuple(draw) for draw in draws}) > 1
    assert len(draws) == 5
    assert result.errors().tolist() == pytest.approx([sum(draw[t] for draw in draws) / 5 for t in range(3)])
    for locations, sample in (("random", False), ("center", False), ("learned", True)):
        (alone,) = [
            s["errors"]
            for s in result.scores
            if (s["split"], s["locations"], s["sample"]) == ("test", locations, sample)
        ]
        assert result.errors(locations, sample).tolist() == alone
    assert result.errors("random", sample=True) is None


def test_to_reproduce_again_only_measures_again(tiny, made, tmp_path, monkeypatch):
    folder, result = made
    monkeypatch.setattr(ImageLearner, "update", lambda self: pytest.fail("it learns"))
    assert reproduce(tiny, 3, folder / "runs", tmp_path, progress=False) == result
    assert load_results(tmp_path) == [result]


def test_what_was_tried_on_the_way_never_meets_the_test_split(tiny, tmp_path):
    recipe = dataclasses.replace(tiny, final=False, elsewhere=())
    result = reproduce(recipe, 0, tmp_path / "runs", tmp_path / "results", progress=False)
    assert [(score["split"], score["seed"]) for score in result.scores] == [("validation", 0)] * 4
    assert result.errors() is None
    assert load_results(tmp_path / "results") == [result]


def test_a_network_that_sees_everything_is_measured_at_no_other_places(tiny, tmp_path):
    whole = {"patch_size": 8, "num_scales": 1, "num_glimpses": 1, "first_glimpse": "center"}
    recipe = dataclasses.replace(
        tiny, name="cnn-mnist", env_kwargs=tiny.env_kwargs | whole, config=ClassifierConfig("cnn", 8), elsewhere=()
    )
    result = reproduce(recipe, 0, tmp_path / "runs", tmp_path / "results", progress=False)
    assert [(s["split"], s["locations"], s["sample"], s["seed"]) for s in result.scores] == [
        ("validation", "learned", False, 0),
        *[("test", "learned", False, seed) for seed in range(5)],
    ]
    # From the centre of the image itself there is but one draw, and to be measured again changes nothing.
    assert len({tuple(score["errors"]) for score in result.scores[1:]}) == 1
    assert reproduce(recipe, 0, tmp_path / "runs", tmp_path / "again", progress=False) == result
    assert load_results(tmp_path / "results") == load_results(tmp_path / "again") == [result]


def test_an_interrupted_training_gives_no_result_and_goes_on(tiny, made, tmp_path, monkeypatch):
    update = ImageLearner.update

    def interrupted(learner):
        if learner.num_updates_done == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return update(learner)

    with monkeypatch.context() as patch:
        patch.setattr(ImageLearner, "update", interrupted)
        assert reproduce(tiny, 3, tmp_path / "runs", tmp_path / "results", progress=False) is None
    assert not (tmp_path / "results").exists()
    done = []
    monkeypatch.setattr(
        ImageLearner, "update", lambda learner: done.append(learner.num_updates_done) or update(learner)
    )
    result = reproduce(tiny, 3, tmp_path / "runs", tmp_path / "results", progress=False)
    assert done == list(range(4, 30))
    assert timeless(result) == timeless(made[1])
    assert load_results(tmp_path / "results") == [result]


def test_seeds_have_folders_and_files_of_their_own(tiny, made, tmp_path):
    _, third = made
    save_result(tmp_path / "results", third)
    first = reproduce(tiny, 0, tmp_path / "runs", tmp_path / "results", progress=False)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["ram-mnist-seed0"]
    assert load_results(tmp_path / "results") == [first, third]
    assert (first.seed, first.training["seed"], third.seed, third.training["seed"]) == (0, 0, 3, 3)
    assert first.scores != third.scores


def test_another_recipe_of_that_name_does_not_go_on_with_the_run(tiny, made):
    folder, _ = made
    before = load_results(folder / "results")
    for change in (
        {"augmentation": {}},
        {"config": dataclasses.replace(tiny.config, core="lstm")},
        {"env_kwargs": tiny.env_kwargs | whole_image()},
    ):
        with pytest.raises(CheckpointError, match="holds a run with"):
            reproduce(dataclasses.replace(tiny, **change), 3, folder / "runs", folder / "results", progress=False)
    assert load_results(folder / "results") == before


def whole_image():
    return {"patch_size": 8}


def test_catch_is_measured_by_games_and_by_the_gaze(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "GAMES", 500)
    recipe = Recipe(
        name="ram-catch",
        task="catch",
        model="RAM, tiny",
        env_id=CATCH,
        env_kwargs={"num_glimpses": 3, "patch_size": 3, "num_scales": 2},
        augmentation={},
        config=RAMConfig(**SMALL, core="lstm", pathwise_limit=0.0),
        training=GameTrainConfig(num_episodes=40, batch_size=20, minibatch_size=10, validation_episodes=20),
    )
    result = reproduce(recipe, 0, tmp_path / "runs", tmp_path / "results", progress=False)
    assert load_results(tmp_path / "results") == [result]
    assert (result.episodes, result.frames) == (40, 120)
    assert {len(score["errors"]) for score in result.scores} == {1}
    assert len(result.gaze) == 3
    # The gaze begins at the centre of four by four pixels, and the ball in the first row, in any column.
    agent, _ = load_agent(tmp_path / "runs" / "ram-catch-seed0")
    envs = CatchVectorEnv(500, autoreset_mode="Disabled", **recipe.env_kwargs)
    observation, _ = envs.reset(seed=[2**63 + 2**62 + i for i in range(500)])
    state, expected = agent.initial_state(500), []
    for t in range(3):
        distances, images = [], envs.image
        for row in range(500):
            (column,) = np.flatnonzero(images[row][t])  # in the first three of four rows there is only the ball
            x, y = (float(value) + 1 for value in observation["location"][row])
            distances.append(((2 * x - column - 0.5) ** 2 + (2 * y - t - 0.5) ** 2) ** 0.5)
        expected.append(np.mean(distances))
        action, state = agent.act(observation, state)
        observation, *_ = envs.step(action)
    assert result.gaze == pytest.approx(expected)


# ---------------------------------------------------------------------------------------------- result files


def damaged(text):
    """What may have happened to a file, by name."""
    entries = json.loads(text)
    score, *others = entries["scores"]

    def changed(**changes):
        return json.dumps(entries | changes)

    def without(name, of):
        return {key: value for key, value in of.items() if key != name}

    return {
        "empty": "",
        "cut off": text[: len(text) // 2],
        "its last character cut off": text.rstrip()[:-1],
        "no JSON": "error: 3.2 %",
        "no text": b"\xff\xfe\x00\x80" * 100,
        "a list": json.dumps([entries]),
        "a number": "3",
        "of nobody": json.dumps(without("format", entries)),
        "of another version": changed(format="glimpse_gym result, format 0"),
        "of another kind": changed(format="glimpse_gym agent, format 2"),
        "lacks something": json.dumps(without("seconds", entries)),
        "has too much": changed(remarks="none"),
        "scores that lack something": changed(scores=[without("errors", score), *others]),
        "scores that have too much": changed(scores=[score | {"error": 0.5}, *others]),
        "no scores": changed(scores=None),
        "scores that are none": changed(scores=[0.5]),
    }


@pytest.mark.parametrize("damage", damaged('{"scores": [{}]}'))
def test_a_file_that_is_no_whole_result_is_named(made, tmp_path, damage):
    _, result = made
    save_result(tmp_path, dataclasses.replace(result, recipe="ram-whole"))
    path = save_result(tmp_path, result)
    spoilt = damaged(path.read_text())[damage]
    path.write_bytes(spoilt if isinstance(spoilt, bytes) else spoilt.encode())
    with pytest.raises(ResultError, match=re.escape(str(path))):
        load_results(tmp_path)
    with pytest.raises(ResultError, match=re.escape(str(path))):
        write_page(tmp_path, tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_a_folder_where_a_file_should_be_is_named(tmp_path):
    (tmp_path / "ram-mnist-seed0.json").mkdir()
    with pytest.raises(ResultError, match=r"ram-mnist-seed0\.json cannot be read"):
        load_results(tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_where_there_are_no_results_it_says_what_makes_them(tmp_path, there):
    folder = tmp_path if there else tmp_path / "nowhere"
    with pytest.raises(ResultError, match=re.escape(f"{folder} holds no results: 'glimpse-gym reproduce' makes them")):
        load_results(folder)


def test_what_a_killed_writer_left_behind_is_no_result(made, tmp_path):
    _, result = made
    path = save_result(tmp_path, result)
    for leftover in (path.read_text(), path.read_text()[:100]):
        (tmp_path / ".ram-mnist-seed3-01234567.json").write_text(leftover)
        assert load_results(tmp_path) == [result]


def test_a_result_takes_the_place_of_the_one_before(made, tmp_path):
    _, result = made
    save_result(tmp_path, dataclasses.replace(result, seconds=1.5))
    path = save_result(tmp_path / "." / "", result)
    assert load_results(tmp_path) == [result]
    assert list(tmp_path.iterdir()) == [path]


# --------------------------------------------------------------------------------------------------- tables


def score(split, errors, locations="learned", sample=False, seed=0):
    spread = [0.001 * (t + 1) for t in range(len(errors))]
    return {
        "split": split,
        "locations": locations,
        "sample": sample,
        "seed": seed,
        "num_episodes": 10_000,
        "errors": errors,
        "standard_errors": spread,
    }


def history(error):
    """Three measurements, each a third of the run after the other, of which the first came to this error."""
    return [
        {"episodes": 1_000_000 * i, "seconds": 60.0 * i, "validation_error": error / i, "training_error": 2 * error / i}
        for i in (1, 2, 3)
    ]


def hand_made(recipe, scores, seed=0, **changes):
    values = {
        "recipe": recipe,
        "task": recipe.rpartition("-")[2],
        "model": f"model of {recipe}",
        "seed": seed,
        "scores": scores,
        "env_id": "glimpse_gym/Some-v0",
        "env_kwargs": {},
        "values_per_glimpse": 100,
        "num_parameters": 1_234_567,
        "config": {},
        "training": {},
        "history": history(0.1),
        "episodes": 3_000_000,
        "frames": 24_000_000,
        "seconds": 600.0,
        "generalisation": [],
        "gaze": None,
        "machine": "a machine",
        "versions": {"python": "3", "glimpse_gym": "0.4", "gymnasium": "1", "numpy": "2", "torch": "2.8"},
    }
    return Result(**values | changes)


def falling(last, number):
    """Errors after each glimpse, each a hundredth more than the next: ..., last + 0.01, last."""
    return [round(last + 0.01 * (number - 1 - t), 10) for t in range(number)]


def rows_of(table):
    """The cells of a table in Markdown, without its header, all rows equally long."""
    header, rule, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    assert all(line.startswith("| ") and line.endswith(" |") for line in table.splitlines())
    assert set(rule) == {"---"}
    assert {len(row) for row in (rule, *rows)} <= {len(header)}
    return rows


NOISE = [score("validation", falling(0.9, 8)), score("test", falling(0.8, 8), sample=True)]
"""What no table of test errors at mean locations may look at."""


def steered_results():
    """Two seeds of one recipe, with two draws each; their last errors are 2 and 3 per cent."""
    looks = [score("test", falling(0.25, 8), "random"), score("test", falling(0.5, 8), "center")]
    return [
        hand_made(
            "ram-cluttered60",
            [score("test", falling(0.01, 8)), score("test", falling(0.03, 8), seed=1), *looks, *NOISE],
        ),
        hand_made("ram-cluttered60", [score("test", falling(0.03, 8)), *looks, *NOISE], seed=1, seconds=1200.0),
    ]


def test_where_nothing_is_there_is_a_dash():
    rows = rows_of(headline_table([]))
    assert len(rows) == 6 + 3 + 3 + 3 + 1
    assert all(row[4:] == ["–", "–", "–"] for row in rows)
    assert all(float(row[2]) > 0 for row in rows)
    assert [row[0] for row in rows] == [
        *[TASK_NAMES["mnist"]] * 6,
        *[TASK_NAMES[task] for task in ("translated60", "cluttered60", "cluttered100") for _ in range(3)],
        "Catch, balls missed",
    ]
    for table in (control_table, ablation_table, seed_table):
        assert rows_of(table([])) == []


def test_the_headline_is_the_mean_over_draws_and_then_over_seeds():
    faithful = hand_made(
        "paper-cluttered60", [score("test", falling(0.04, 8)), score("test", falling(0.05, 8), seed=1)]
    )
    rows = rows_of(headline_table([faithful, *steered_results()]))
    # Of 2 and 3 per cent the standard deviation is the root of a half.
    cost = "2, 3.0M episodes, 15 min"
    assert [row for row in rows if row[0] == "Cluttered, 60 × 60"] == [
        ["Cluttered, 60 × 60", "4", "4.96", "–", "–", "**6.50 ± 0.71**", cost],
        ["Cluttered, 60 × 60", "6", "4.08", "–", "–", "**4.50 ± 0.71**", cost],
        ["Cluttered, 60 × 60", "8", "4.04", "2.63", "4.50", "**2.50 ± 0.71**", cost],
    ]
    assert all(row[4:] == ["–", "–", "–"] for row in rows if row[0] != "Cluttered, 60 × 60")


def test_an_agent_made_for_few_glimpses_stands_in_their_row_alone():
    few = hand_made("ram4-cluttered60", [score("test", falling(0.01, 4))], task="cluttered60")
    results = [few, *steered_results()]
    rows = [row for row in rows_of(headline_table(results)) if row[0] == "Cluttered, 60 × 60"]
    assert [row[5] for row in rows] == ["**1.00**", "**4.50 ± 0.71**", "**2.50 ± 0.71**"]
    assert [row[6] for row in rows] == ["1, 3.0M episodes, 10 min", *["2, 3.0M episodes, 15 min"] * 2]
    assert rows_of(control_table(results)) == rows_of(control_table(steered_results()))


def test_one_seed_has_no_spread():
    (one, _) = steered_results()
    rows = rows_of(headline_table([one]))
    assert [row[5:] for row in rows if row[0] == "Cluttered, 60 × 60"][-1] == ["**2.00**", "1, 3.0M episodes, 10 min"]
    assert "±" not in headline_table([one]) + control_table([one])


def test_the_public_numbers_stand_in_their_rows():
    rows = rows_of(headline_table([]))
    stand = {(row[0], int(row[1])): row[3] for row in rows if row[3] != "–"}
    expected = {(TASK_NAMES[task], public.num_glimpses): f"{public.error:.2f}" for task, public in PUBLIC.items()}
    del expected[TASK_NAMES["catch"], 23]
    assert stand == expected | {("Catch, balls missed", 23): "11"}


def test_catch_is_a_row_of_balls_missed():
    games = [hand_made("ram-catch", [score("validation", [0.9]), score("test", [0.1 + 0.02 * i])], i) for i in range(2)]
    row = rows_of(headline_table(games))[-1]
    assert row[:3] == ["Catch, balls missed", "23", "15"]
    assert row[5:] == ["**11.00 ± 1.41**", "2, 3.0M episodes, 10 min"]


def test_controls_stand_beside_the_papers_likes():
    others = [
        hand_made("conv-cluttered60", [score("test", [0.08]), score("validation", [0.5])], model="conv"),
        hand_made("cnn-cluttered60", [score("test", [0.01])], model="CNN"),
        hand_made("random-cluttered60", [score("test", falling(0.1, 8))], model="random"),
        hand_made("paper-cluttered60", [score("test", falling(0.04, 8))]),
    ]
    rows = rows_of(control_table([*others, *steered_results()]))
    cost, one = "2, 3.0M episodes, 15 min", "1, 3.0M episodes, 10 min"
    place, model = "Cluttered, 60 × 60", "model of ram-cluttered60"
    assert rows == [
        [place, "CNN", "–", "1.00", one],
        [place, "conv", "8.09", "8.00", one],
        [place, "random", "14.40", "10.00", one],
        [place, f"{model}; tested at own places", "–", "2.50 ± 0.71", cost],
        [place, f"{model}; tested at random places", "–", "25.00 ± 0.00", cost],
        [place, f"{model}; tested at the centre", "–", "50.00 ± 0.00", cost],
        [place, f"{model}; tested with samples", "–", "80.00 ± 0.00", cost],
    ]


def ablations():
    """Of two parts, on the validation split; of one with two seeds."""

    def ablation(name, learned, random, **changes):
        scores = [score("validation", falling(learned, 8)), score("validation", falling(random, 8), "random")]
        scores += [score("validation", falling(0.7, 8), sample=True), score("validation", falling(0.6, 8), "center")]
        model = name.removeprefix("ablation-")
        return hand_made(name, scores, task="cluttered60", model=model, episodes=400_000, **changes)

    return [
        ablation("ablation-without", 0.06, 0.3),
        ablation("ablation-with", 0.04, 0.2),
        ablation("ablation-with", 0.05, 0.4, seed=1, seconds=300.0),
    ]


def test_ablations_are_told_by_the_validation_split():
    assert rows_of(ablation_table([*ablations(), *steered_results()])) == [
        ["with", "4.50 ± 0.71", "30.00 ± 14.14", "400,000", "7.5 min"],
        ["without", "6.00", "30.00", "400,000", "10.0 min"],
    ]


def test_ablations_stand_in_no_table_of_test_errors():
    assert control_table([*ablations(), *steered_results()]) == control_table(steered_results())
    assert headline_table([*ablations(), *steered_results()]) == headline_table(steered_results())


def test_every_run_has_a_line_of_its_first_draw_at_mean_locations():
    (first, second) = steered_results()
    small = ablations()[0]
    where = "a machine, torch 2.8, glimpse_gym 0.4"
    sizes = ["1,234,567", "24.0M"]
    # The error is the first draw's, and its spread at the last of eight glimpses is 0.8 %.
    assert rows_of(seed_table([second, small, first])) == [
        [
            "`glimpse-gym reproduce ablation-without --seed 0`",
            "validation 6.00 ± 0.80",
            *sizes,
            "10.0 min",
            where,
        ],
        ["`glimpse-gym reproduce ram-cluttered60 --seed 0`", "test 1.00 ± 0.80", *sizes, "10.0 min", where],
        ["`glimpse-gym reproduce ram-cluttered60 --seed 1`", "test 3.00 ± 0.80", *sizes, "20.0 min", where],
    ]


# -------------------------------------------------------------------------------------------------- figures


def shown_results():
    """Something to draw in every figure."""
    first, second = steered_results()

    def elsewhere(*errors):
        return [
            {"env_kwargs": {"num_clutter": number}, "score": score("test", [0.9, error])}
            for number, error in zip((16, 4), errors, strict=True)
        ]

    return [
        dataclasses.replace(first, generalisation=elsewhere(0.2, 0.02)),
        dataclasses.replace(second, generalisation=elsewhere(0.4, 0.04)),
        hand_made("paper-cluttered60", [score("test", falling(0.04, 8))], history=history(0.4)),
        hand_made("cnn-cluttered60", [score("test", [0.01])], values_per_glimpse=3600),
        hand_made("conv-cluttered60", [score("test", [0.08])], values_per_glimpse=3600),
        hand_made("ram-catch", [score("test", [0.1])], gaze=[4.0, 3.0, 2.5], frames=23 * 3_000_000),
        hand_made("screen-catch", [score("test", [0.05])], history=history(0.06), frames=23 * 3_000_000),
        *ablations(),
    ]


def curves(axes):
    """x and y of each line of a panel, by its label."""
    return {line.get_label(): np.array(line.get_data(), float).tolist() for line in axes.get_lines()}


def test_error_by_glimpses_is_the_mean_of_the_seeds():
    (axes,) = figures._error_by_glimpses(["cluttered60"], shown_results()).get_axes()
    drawn = curves(axes)
    glimpses = [*range(1, 9)]
    oracles_of = {"RAM, own places": 2.5, "the same, random places": 25.0, "the same, the centre": 50.0}
    for name, last in oracles_of.items():
        x, y = drawn.pop(name)
        assert x == glimpses
        assert y == pytest.approx([last + 8 - t for t in glimpses])
    assert drawn.pop("RAM in the paper") == [[4, 6, 8], [4.96, 4.08, 4.04]]
    assert drawn.pop("CNN, whole image")[1] == pytest.approx([1.0, 1.0])
    assert not drawn
    assert axes.get_title() == "Cluttered, 60 × 60"


def test_error_by_values_counts_what_was_sensed():
    (axes,) = figures._error_by_values(["cluttered60"], shown_results()).get_axes()
    drawn = curves(axes)
    assert drawn["RAM, own places"][0] == [100 * t for t in range(1, 9)]
    assert drawn["RAM, own places"][1] == pytest.approx([10.5 - t for t in range(1, 9)])
    assert drawn["model of cnn-cluttered60, whole image"] == [[3600.0], pytest.approx([1.0])]
    assert drawn["model of conv-cluttered60, whole image"] == [[3600.0], pytest.approx([8.0])]
    assert len(drawn) == 5


def test_learning_is_a_line_for_each_seed():
    (axes,) = figures._learning(["cluttered60"], shown_results()).get_axes()
    lines = [np.array(line.get_data()).tolist() for line in axes.get_lines()]
    ours, papers = pytest.approx([10.0, 5.0, 10 / 3]), pytest.approx([40.0, 20.0, 40 / 3])
    assert lines == [[[1.0, 2.0, 3.0], errors] for errors in (ours, ours, papers)]
    named = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert named == ["RAM, steered", "RAM as in the paper"]


def test_catch_is_what_was_caught_and_where_the_gaze_was():
    learning, gaze = figures._catch(["catch"], shown_results()).get_axes()
    drawn = curves(learning)
    frames = pytest.approx([23.0, 46.0, 69.0])  # so many in a game
    assert drawn["through the retina"] == [frames, pytest.approx([90.0, 95.0, 100 - 10 / 3])]
    assert drawn["the whole screen"] == [frames, pytest.approx([94.0, 97.0, 98.0])]
    assert drawn["the paper, about"] == [[20.0], [85.0]]
    assert [np.array(line.get_data()).tolist() for line in gaze.get_lines()] == [[[0.0, 1.0, 2.0], [4.0, 3.0, 2.5]]]


def test_elsewhere_is_the_last_error_by_what_was_changed():
    (axes,) = figures._elsewhere(["cluttered60"], shown_results()).get_axes()
    assert curves(axes) == {"Cluttered, 60 × 60": [[4.0, 16.0], pytest.approx([3.0, 30.0])]}
    assert axes.get_xlabel() == "num clutter"


def test_nothing_is_drawn_of_what_was_not_measured(tmp_path):
    drawn = figures.save_figures(tmp_path, steered_results())  # measured nowhere else, and no game
    assert [path.stem for path in drawn] == ["error-by-glimpses", "error-by-values", "learning"]
    assert sorted(tmp_path.iterdir()) == sorted(drawn)


# ------------------------------------------------------------------------------------------------- the page


@pytest.fixture
def no_agents(monkeypatch, tmp_path):
    """As if no agent were shipped."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(shipped, "SHIPPED", folder)
    monkeypatch.setattr(page, "SHIPPED", folder)
    return folder


def save_all(folder, found):
    for result in found:
        save_result(folder, result)
    return folder


def assert_not_blank(path, colour):
    """Fail unless a picture has something of this colour on it."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert min(pixels.shape[:2]) > 200
    assert (pixels.min(), pixels.max()) < (80, 256)
    distance = np.abs(pixels - np.array(colour)).sum(axis=-1)
    assert (distance < 30).sum() > 20, path


def rgb(text):
    return [int(text[i : i + 2], 16) for i in (1, 3, 5)]


def test_the_page_holds_tables_and_figures(tmp_path, no_agents):
    found = shown_results()
    docs = tmp_path / "docs"
    folder = save_all(tmp_path / "results", found)
    written = write_page(folder, docs)
    names = ["error-by-glimpses", "error-by-values", "learning", "catch", "elsewhere"]
    assert written == [docs / "results.md", *(docs / "figures" / f"{name}.png" for name in names)]
    assert sorted(path for path in docs.rglob("*") if path.is_file()) == sorted(written)
    text = (docs / "results.md").read_text(encoding="utf-8")
    loaded = load_results(folder)
    for table in (headline_table, control_table, ablation_table, seed_table):
        assert text.count(table(loaded)) == 1
    assert re.findall(r"!\[.*\]\((.*)\)", text) == [f"figures/{name}.png" for name in names]
    for name in names:
        # In the last panel colours are matplotlib's own.
        colour = "#1f77b4" if name == "elsewhere" else figures._COLOURS["learned"]
        assert_not_blank(docs / "figures" / f"{name}.png", rgb(colour))


def test_a_page_of_a_first_result_whatever_it_is(tmp_path, no_agents):
    found = [hand_made("conv-mnist", [score("test", [0.01])])]
    docs = tmp_path / "docs"
    assert write_page(save_all(tmp_path / "results", found), docs) == [docs / "results.md"]
    text = (docs / "results.md").read_text(encoding="utf-8")
    assert control_table(found) in text
    assert "What decides" not in text


def test_without_results_there_is_no_page(tmp_path):
    with pytest.raises(ResultError, match="holds no results"):
        write_page(tmp_path / "results", tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_the_page_shows_where_shipped_agents_look(tmp_path, no_agents, made):
    folder, _ = made
    agent, card = load_agent(folder / "runs" / "ram-mnist-seed3")
    # Of the two hundred images twenty are for testing, and the plate is of twenty-four.
    images = np.random.default_rng(1).integers(0, 256, (240, 8, 8), np.uint8)
    np.savez(tmp_path / "more.npz", images=images, labels=np.arange(240) % 3)
    card = dataclasses.replace(card, env_kwargs=card.env_kwargs | {"images": str(tmp_path / "more.npz")})
    save_agent(no_agents / "ram-tiny", agent, card)
    results_folder = save_all(tmp_path / "results", [hand_made("conv-mnist", [score("test", [0.1])])])
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    plate = tmp_path / "docs" / "figures" / "scanpaths-ram-tiny.png"
    assert write_page(results_folder, tmp_path / "docs")[-1] == plate
    text = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "Where `ram-tiny` looks:\n\n![Scan paths](figures/scanpaths-ram-tiny.png)" in text
    with Image.open(plate) as picture:
        assert len(set(picture.convert("RGB").getdata())) > 100


def test_the_headline_of_a_readme_is_renewed_and_nothing_else(tmp_path, no_agents):
    begin, end = page._BEGIN, page._END
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{begin}\n| old |\n{end}\n\nMore – of it.\n", encoding="utf-8")
    folder = save_all(tmp_path / "results", [hand_made("screen-catch", [score("test", [0.1])])])
    (tmp_path / "docs").mkdir()
    headline = headline_table(load_results(folder))
    for _ in range(2):
        assert write_page(folder, tmp_path / "docs", readme)[-1] == readme
        expected = f"# Title\n\n{begin}\n{headline}\n{end}\n\nMore – of it.\n"
        assert readme.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("text", ["", "# Title\n", "{begin}\n", "{end}\n", "{end}\n{begin}\n"])
def test_a_readme_without_a_place_for_the_headline_is_left_alone(tmp_path, no_agents, text):
    readme = tmp_path / "README.md"
    before = text.format(begin=page._BEGIN, end=page._END)
    readme.write_text(before)
    folder = save_all(tmp_path / "results", [hand_made("screen-catch", [score("test", [0.1])])])
    (tmp_path / "docs").mkdir()
    with pytest.raises(ValueError, match=re.escape(f"{readme} has no place for the headline table")):
        write_page(folder, tmp_path / "docs", readme)
    assert readme.read_text() == before


# ------------------------------------------------------------------------------------------- shipped agents


def test_an_unknown_agent_is_answered_with_a_list(no_agents, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no folder nobody, and no agent of that name; shipped are: none"):
        glimpse_gym.agents.load("nobody")
    agent, card = load_agent(made[0] / "runs" / "ram-mnist-seed3")
    for name in ("ram-two", "ram-one"):
        save_agent(no_agents / name, agent, card)
    (no_agents / "no-agent").mkdir()
    with pytest.raises(CheckpointError, match=r"no agent of that name; shipped are: ram-one, ram-two$"):
        glimpse_gym.agents.load("nobody")
    with pytest.raises(CheckpointError, match="shipped are: ram-one, ram-two"):
        glimpse_gym.agents.load(no_agents / "ram-one" / "agent.json")  # a file is no folder


def test_a_name_or_a_folder_gives_an_agent_ready_to_act(no_agents, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = made[0] / "runs" / "ram-mnist-seed3"
    agent, card = load_agent(run)
    save_agent(no_agents / "ram-one", agent, card)
    for where in ("ram-one", str(run), run):
        loaded = glimpse_gym.agents.load(where)
        assert not loaded.training
        for name, weight in agent.state_dict().items():
            oracles.assert_identical(loaded.state_dict()[name].numpy(), weight.numpy())
    # A name is that of a shipped agent, whatever else is called so here; a path is a path.
    (tmp_path / "ram-one").mkdir()
    glimpse_gym.agents.load("ram-one")
    with pytest.raises(CheckpointError, match="holds no agent"):
        glimpse_gym.agents.load("./ram-one")


def test_what_is_shipped_is_named_after_recipes_and_small():
    names = shipped.shipped_names()
    files = [path for path in shipped.SHIPPED.rglob("*") if path.is_file()] if shipped.SHIPPED.exists() else []
    assert sum(path.stat().st_size for path in files) < 15e6
    if shipped.SHIPPED.exists():
        assert sorted(load_recipe(name).task for name in names) == sorted(TASK_NAMES)  # one of each
        assert {path.parent.name for path in files} == set(names)
        assert {path.name for path in files} == {"agent.json", "weights.safetensors"}


@pytest.mark.parametrize("name", shipped.shipped_names())
def test_a_shipped_agent_acts_well_in_the_env_it_was_made_for(name):
    agent, card = load_agent(shipped.SHIPPED / name)
    recipe = load_recipe(name)
    assert (card.env_id, card.env_kwargs, card.config) == (recipe.env_id, recipe.env_kwargs, recipe.config)
    envs = make_envs(card.env_id, card.env_kwargs, "validation", 3)
    agent.check_env(envs)
    observation, _ = envs.reset(seed=0)
    action, _ = glimpse_gym.agents.load(name).act(observation, agent.initial_state(3))
    assert envs.action_space.contains(action)
    assert evaluate(agent, card.env_id, card.env_kwargs, Conditions(), num_episodes=500).errors[-1] < 0.3
    assert any(score["split"] == "test" for score in card.scores)
