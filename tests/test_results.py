"""What recipes come to, and the agents that are shipped. T glimpses."""

import dataclasses
import json
import os
import re
import signal

import numpy as np
import pytest

import glimpse_gym.agents
import oracles
from glimpse_gym.agents import evaluation
from glimpse_gym.agents import pretrained as shipped
from glimpse_gym.agents.checkpoint import CheckpointError, load_agent, load_card, save_agent
from glimpse_gym.agents.classifier import ClassifierConfig
from glimpse_gym.agents.evaluation import Conditions, evaluate, make_envs
from glimpse_gym.agents.experiments.recipes import Recipe, load_recipe
from glimpse_gym.agents.experiments.report import write_page
from glimpse_gym.agents.experiments.results import ResultError, load_results, reproduce, save_result
from glimpse_gym.agents.experiments.tables import TASK_NAMES
from glimpse_gym.agents.learner import ImageLearner, ImageTrainConfig
from glimpse_gym.agents.ppo import GameTrainConfig
from glimpse_gym.agents.ram import RAMConfig
from glimpse_gym.agents.trainer import Run
from glimpse_gym.envs import CatchVectorEnv

ENV, CATCH = "glimpse_gym/Images-v0", "glimpse_gym/Catch-v0"
SMALL = {"glimpse_network": "full", "glimpse_units": 8, "location_units": 8, "glimpse_features": 16, "hidden_units": 16}

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
    assert result.generalization == [
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
    # From the center of the image itself there is but one draw, and to be measured again changes nothing.
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
    # The gaze begins at the center of four by four pixels, and the ball in the first row, in any column.
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
