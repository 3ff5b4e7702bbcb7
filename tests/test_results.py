"""Reproducing recipes. T glimpses."""

import dataclasses
import os
import signal

import numpy as np
import pytest

from glimpse_gym.agents import evaluation
from glimpse_gym.agents.checkpoint import CheckpointError, load_agent, load_metadata
from glimpse_gym.agents.configs import ClassifierConfig, PPOConfig, RAMConfig, ReinforceConfig, SupervisedConfig
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.experiments.recipes import Recipe, load_recipe
from glimpse_gym.agents.experiments.result_files import load_results, save_result
from glimpse_gym.agents.experiments.results import reproduce
from glimpse_gym.agents.reinforce import Reinforce
from glimpse_gym.envs import CatchVectorEnv
from runs import save_shades

ENV, CATCH = "glimpse_gym/Images-v0", "glimpse_gym/Catch-v0"
SMALL = {"glimpse_network": "fc", "glimpse_units": 8, "location_units": 8, "glimpse_features": 16, "hidden_units": 16}


pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A recipe that is trained in a second."""
    path = save_shades(tmp_path_factory.mktemp("images") / "images.npz")
    return Recipe(
        name="ram-mnist",
        group="headline",
        base=None,
        task="mnist",
        model="RAM, tiny",
        env_id=ENV,
        env_kwargs={"images": str(path), "patch_size": 4, "num_scales": 2, "num_glimpses": 3},
        augmentation={"shift": [-1, 1]},
        policy_config=RAMConfig(**SMALL, core="gru"),
        training=ReinforceConfig(
            num_episodes=590,
            batch_size=20,
            num_evaluations=4,
            validation_episodes=10,
            learning_rate=0.02,
            warmup_updates=2,
        ),
        generalization_envs=({"canvas_size": 10}, {"canvas_size": 12}),
    )


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """Folder in which the tiny recipe was reproduced, and its result."""
    folder = tmp_path_factory.mktemp("made")
    return folder, reproduce(tiny, 3, folder / "runs", folder / "results", progress=False)


def without_times(result):
    """A result without the durations, which differ between equal runs."""
    history = [record | {"seconds": 0.0} for record in result.history]
    return dataclasses.replace(result, training_seconds=0.0, history=history)


def test_saved_result_is_loaded_unchanged(made):
    folder, result = made
    assert load_results(folder / "results") == [result]
    assert [path.name for path in (folder / "results").iterdir()] == ["ram-mnist-seed3.json"]


def test_result_holds_the_settings_of_the_run(tiny, made):
    folder, result = made
    assert (result.recipe, result.task, result.model, result.seed) == ("ram-mnist", "mnist", "RAM, tiny", 3)
    assert (result.env_id, result.env_kwargs) == (ENV, tiny.env_kwargs)
    assert result.policy_config == dataclasses.asdict(tiny.policy_config)
    expected = {"seed": 3, "algorithm": "reinforce", "augmentation": {"shift": [-1, 1]}}
    assert result.training == dataclasses.asdict(tiny.training) | expected
    assert result.settings == tiny.settings
    assert result.values_per_glimpse == 2 * 4 * 4
    glimpse_network = (32 * 8 + 8) + (2 * 8 + 8) + 2 * (8 * 16 + 16)
    core = 3 * (16 * 16 + 16 + 16 * 16 + 16)
    assert result.num_parameters == glimpse_network + core + (16 * 2 + 2) + (16 * 3 + 3) + (16 + 1)
    assert (result.num_episodes, result.num_frames) == (600, 1800)  # 30 full batches
    assert [record["episodes"] for record in result.history] == [160, 300, 460, 600]
    for record in result.history:
        assert record.keys() == {"episodes", "seconds", "validation_error", "training_error"}
        assert 0 < record["seconds"] <= result.training_seconds
    assert result.gaze_distances is None
    assert result.machine
    assert result.versions.keys() == {"python", "glimpse_gym", "gymnasium", "numpy", "torch"}
    assert load_metadata(folder / "runs" / "ram-mnist-seed3").command == "glimpse-gym reproduce ram-mnist --seed 3"


def test_scores_are_those_of_evaluations_and_are_stored_with_the_agent(made):
    folder, result = made
    agent, metadata = load_agent(folder / "runs" / "ram-mnist-seed3", trusted=True)
    variants = [("learned", False), ("learned", True), ("random", False), ("center", False)]
    expected = [EvalConditions(split, *variant) for split in ("validation", "test") for variant in variants]
    expected += [EvalConditions("test", seed=seed) for seed in (1, 2, 3, 4)]
    scores = [evaluate(agent, ENV, metadata.env_kwargs, conditions)._asdict() for conditions in expected]
    assert result.scores == scores
    assert metadata.scores == scores
    assert {score["num_episodes"] for score in scores} == {20}
    assert result.generalization == [
        {
            "env_kwargs": change,
            "score": evaluate(agent, ENV, metadata.env_kwargs | change, EvalConditions("test"))._asdict(),
        }
        for change in ({"canvas_size": 10}, {"canvas_size": 12})
    ]


def test_errors_are_means_over_draws_of_the_test_split(made):
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


def test_reproducing_a_finished_run_only_measures_again(tiny, made, tmp_path, monkeypatch):
    folder, result = made
    monkeypatch.setattr(Reinforce, "update", lambda self: pytest.fail("it trains"))
    assert reproduce(tiny, 3, folder / "runs", tmp_path, progress=False) == result
    assert load_results(tmp_path) == [result]


def test_recipe_without_test_is_measured_on_the_validation_split_only(tiny, tmp_path):
    recipe = dataclasses.replace(tiny, test=False, generalization_envs=())
    result = reproduce(recipe, 0, tmp_path / "runs", tmp_path / "results", progress=False)
    assert [(score["split"], score["seed"]) for score in result.scores] == [("validation", 0)] * 4
    assert result.errors() is None
    assert load_results(tmp_path / "results") == [result]


def test_whole_image_classifier_is_measured_at_no_other_locations(tiny, tmp_path):
    whole = {"patch_size": 8, "num_scales": 1, "num_glimpses": 1, "first_glimpse": "center"}
    shared = {field.name: getattr(tiny.training, field.name) for field in dataclasses.fields(SupervisedConfig)}
    recipe = dataclasses.replace(
        tiny,
        name="cnn-mnist",
        env_kwargs=tiny.env_kwargs | whole,
        policy_config=ClassifierConfig("cnn", 8),
        training=SupervisedConfig(**shared),
        generalization_envs=(),
    )
    result = reproduce(recipe, 0, tmp_path / "runs", tmp_path / "results", progress=False)
    assert [(s["split"], s["locations"], s["sample"], s["seed"]) for s in result.scores] == [
        ("validation", "learned", False, 0),
        *[("test", "learned", False, seed) for seed in range(5)],
    ]
    # A glimpse at the center of the image itself leaves nothing to draw, and measuring again changes nothing.
    assert len({tuple(score["errors"]) for score in result.scores[1:]}) == 1
    assert reproduce(recipe, 0, tmp_path / "runs", tmp_path / "again", progress=False) == result
    assert load_results(tmp_path / "results") == load_results(tmp_path / "again") == [result]


def test_interrupted_training_gives_no_result_and_is_resumed(tiny, made, tmp_path, monkeypatch):
    update = Reinforce.update

    def interrupted(learner):
        if learner.num_updates_done == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return update(learner)

    with monkeypatch.context() as patch:
        patch.setattr(Reinforce, "update", interrupted)
        assert reproduce(tiny, 3, tmp_path / "runs", tmp_path / "results", progress=False) is None
    assert not (tmp_path / "results").exists()
    done = []
    monkeypatch.setattr(Reinforce, "update", lambda learner: done.append(learner.num_updates_done) or update(learner))
    result = reproduce(tiny, 3, tmp_path / "runs", tmp_path / "results", progress=False)
    assert done == list(range(4, 30))
    assert without_times(result) == without_times(made[1])
    assert load_results(tmp_path / "results") == [result]


def test_seeds_have_their_own_folders_and_files(tiny, made, tmp_path):
    _, third = made
    save_result(tmp_path / "results", third)
    first = reproduce(tiny, 0, tmp_path / "runs", tmp_path / "results", progress=False)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["ram-mnist-seed0"]
    assert load_results(tmp_path / "results") == [first, third]
    assert (first.seed, first.training["seed"], third.seed, third.training["seed"]) == (0, 0, 3, 3)
    assert first.scores != third.scores


def test_changed_recipe_does_not_resume_the_run_of_the_same_name(tiny, made):
    folder, _ = made
    before = load_results(folder / "results")
    for change in (
        {"augmentation": {}},
        {"policy_config": dataclasses.replace(tiny.policy_config, core="lstm")},
        {"env_kwargs": tiny.env_kwargs | {"patch_size": 8}},
    ):
        with pytest.raises(CheckpointError, match="holds a run with"):
            reproduce(dataclasses.replace(tiny, **change), 3, folder / "runs", folder / "results", progress=False)
    assert load_results(folder / "results") == before


def test_result_of_catch_has_gaze_distances(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "NUM_GAMES", 500)
    recipe = Recipe(
        name="ram-catch",
        group="headline",
        base=None,
        task="catch",
        model="RAM, tiny",
        env_id=CATCH,
        env_kwargs={"num_glimpses": 3, "patch_size": 3, "num_scales": 2},
        augmentation={},
        policy_config=RAMConfig(**SMALL, core="lstm"),
        training=PPOConfig(num_episodes=40, batch_size=20, minibatch_size=10, validation_episodes=20),
    )
    result = reproduce(recipe, 0, tmp_path / "runs", tmp_path / "results", progress=False)
    assert load_results(tmp_path / "results") == [result]
    assert (result.num_episodes, result.num_frames) == (40, 120)
    assert {len(score["errors"]) for score in result.scores} == {1}
    assert len(result.gaze_distances) == 3
    # The gaze starts at the center of 4 x 4 pixels, the ball in the first row, in any column.
    agent, _ = load_agent(tmp_path / "runs" / "ram-catch-seed0")
    envs = CatchVectorEnv(500, autoreset_mode="Disabled", **recipe.env_kwargs)
    observation, _ = envs.reset(seed=[2**63 + 2**62 + i for i in range(500)])
    state, expected = agent.initial_state(500), []
    for t in range(3):
        distances, images = [], envs.image
        for row in range(500):
            (column,) = np.flatnonzero(images[row][t])  # the first three of the four rows show only the ball
            x, y = (float(value) + 1 for value in observation["location"][row])
            distances.append(((2 * x - column - 0.5) ** 2 + (2 * y - t - 0.5) ** 2) ** 0.5)
        expected.append(np.mean(distances))
        action, state = agent.act(observation, state)
        observation, *_ = envs.step(action)
    assert result.gaze_distances == pytest.approx(expected)


def test_scripted_player_is_measured_without_training(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "NUM_GAMES", 500)
    result = reproduce(load_recipe("oracle-catch"), 0, tmp_path / "runs", tmp_path / "results", progress=False)
    assert not (tmp_path / "runs").exists()
    assert (result.training, result.history, result.gaze_distances) == ({}, [], None)
    assert (result.num_parameters, result.num_episodes, result.num_frames, result.training_seconds) == (0, 0, 0, 0.0)
    assert [(score["split"], score["errors"]) for score in result.scores] == [("validation", [0.0]), ("test", [0.0])]
    assert result.settings == load_recipe("oracle-catch").settings
    assert load_results(tmp_path / "results") == [result]
