"""Configurations: accepted values, the learning-rate schedule, and an import without torch."""

import math
from dataclasses import FrozenInstanceError, fields
from typing import get_type_hints

import pytest

from glimpse_gym.agents.configs import (
    MAX_SEEDS,
    ClassifierConfig,
    PPOConfig,
    RAMConfig,
    ReinforceConfig,
    ScriptedConfig,
    SupervisedConfig,
    TrainConfig,
)
from test_imports import loaded_after

CONFIG_CLASSES = (RAMConfig, ClassifierConfig, ScriptedConfig, ReinforceConfig, SupervisedConfig, PPOConfig)
ALGORITHM_CLASSES = (ReinforceConfig, SupervisedConfig, PPOConfig)


def nested_list(depth):
    nested = []
    for _ in range(depth):
        nested = [nested]
    return nested


def test_configs_and_registry_import_without_torch():
    code = "import glimpse_gym.agents.configs, glimpse_gym.agents.registry, glimpse_gym.agents.task_envs"
    assert "torch" not in loaded_after(code)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sigma": 0.0}, "sigma must be greater than 0"),
        ({"hidden_units": "many"}, "hidden_units must be of type int"),
        ({"hidden_units": 0}, "hidden_units must be at least 1, got 0"),
        ({"detach_location_network": 1}, "detach_location_network must be of type bool"),
        ({"glimpse_network": "full"}, "glimpse_network must be one of 'fc', 'conv'; got 'full'"),
        ({"core": "transformer"}, "core must be one of 'relu', 'gru', 'lstm'"),
        ({"location_policy": "everywhere"}, "location_policy must be one of 'learned', 'random'"),
        ({"scale_gain": 0.0}, "scale_gain must be greater than 0"),
        ({"scale_gain": float("nan")}, "scale_gain must be finite"),
    ],
)
def test_ram_config_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        RAMConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": "resnet"}, "network must be one of 'fc', 'conv', 'cnn'; got 'resnet'"),
        ({"units": 0}, "units must be at least 1, got 0"),
        ({"units": 2.5}, "units must be of type int"),
        ({"network": "cnn", "units": 3}, "units must be at least 4"),  # the first layer has a quarter as many filters
    ],
)
def test_classifier_config_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(**values)


def test_scripted_config_refuses_unknown_players():
    with pytest.raises(ValueError, match="player must be one of 'random', 'chaser', 'oracle'; got 'cheat'"):
        ScriptedConfig("cheat")


@pytest.mark.parametrize("config_class", ALGORITHM_CLASSES)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of 'adam', 'muon', 'sgd'; got 'lbfgs'"),
        ({"schedule": "step"}, "schedule must be one of 'cosine', 'linear'"),
        ({"num_episodes": 2**53}, "num_episodes must be less than 2\\*\\*53, got 9007199254740992"),
        ({"batch_size": 10**5000}, "batch_size must be less than 2\\*\\*53, got an integer of 16,610 bits"),
        ({"learning_rate": 10**400}, "learning_rate must be less than 2\\*\\*53, got 1000"),
        ({"optimizer": nested_list(5000)}, "optimizer must be one of"),
        ({"batch_size": nested_list(5000)}, "batch_size must be of type int"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": MAX_SEEDS}, f"seed must be less than {MAX_SEEDS}, got {MAX_SEEDS}"),
        ({"learning_rate": -1.0}, "learning_rate must be greater than 0"),
        ({"max_grad_norm": 0}, "max_grad_norm must be greater than 0"),
        ({"num_episodes": 1e6}, "num_episodes must be of type int"),
        ({"num_episodes": 0}, "num_episodes must be at least 1"),
        ({"num_threads": 0}, "num_threads must be at least 1"),
        ({"save_interval": float("inf")}, "save_interval must be finite"),
    ],
)
def test_settings_shared_by_all_algorithms_refuse(config_class, values, message):
    with pytest.raises(ValueError, match=message):
        config_class(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 10, "copies_per_image": 3}, "batch_size must be a multiple of copies_per_image=3, got 10"),
        ({"loss_weighting": "first"}, "loss_weighting must be one of 'uniform', 'linear', 'last'"),
        ({"candidates_per_episode": 0}, "candidates_per_episode must be at least 1, got 0"),
        ({"selection_start": -0.1}, "selection_start must be at least 0"),
        ({"candidates_per_episode": 1001}, "candidates_per_episode must be at most 1000, got 1001"),
        ({"selection_start": 1.1}, "selection_start must be at most 1, got 1.1"),
        (
            {"copies_per_image": 2, "candidates_per_episode": 4},
            "candidates_per_episode must be 1 with copies_per_image=2, got 4",
        ),
        ({"pathwise_max_norm": -0.1}, "pathwise_max_norm must be at least 0"),
        ({"reinforce_weight": -1.0}, "reinforce_weight must be at least 0"),
    ],
)
def test_reinforce_config_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        ReinforceConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 100, "minibatch_size": 64}, "batch_size must be a multiple of minibatch_size=64, got 100"),
        ({"batch_size": 32, "minibatch_size": 64}, "batch_size must be a multiple of minibatch_size=64, got 32"),
        ({"num_epochs": 0}, "num_epochs must be at least 1"),
        ({"minibatch_size": 0}, "minibatch_size must be at least 1"),
        ({"clip_coef": 0.0}, "clip_coef must be greater than 0"),
        ({"gamma": -0.1}, "gamma must be at least 0"),
        ({"gae_lambda": float("nan")}, "gae_lambda must be finite"),
        ({"ent_coef": "some"}, "ent_coef must be of type float"),
    ],
)
def test_ppo_config_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        PPOConfig(**values)


@pytest.mark.parametrize("config_class", CONFIG_CLASSES)
def test_every_config_is_frozen_and_every_annotation_is_a_field(config_class):
    config = config_class()
    names = [field.name for field in fields(config)]
    assert set(names) == {name for name in get_type_hints(config_class) if not name.startswith("_")}
    with pytest.raises(FrozenInstanceError):
        setattr(config, names[0], getattr(config, names[0]))


def test_an_int_is_accepted_for_a_float():
    assert TrainConfig(learning_rate=1).learning_rate == 1


def test_num_updates_rounds_up():
    assert TrainConfig(num_episodes=400, batch_size=20).num_updates == 20
    assert TrainConfig(num_episodes=401, batch_size=20).num_updates == 21


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_learning_rate_warms_up_and_decays_to_zero(schedule):
    config = TrainConfig(num_episodes=100, batch_size=1, learning_rate=2.0, warmup_updates=4, schedule=schedule)
    for done in range(101):
        decay = (1 + math.cos(math.pi * done / 100)) / 2 if schedule == "cosine" else 1 - done / 100
        warmup = (done + 1) / 5 if done < 4 else 1.0
        assert config.learning_rate_at(done) == pytest.approx(2.0 * decay * warmup)
    assert config.learning_rate_at(100) == pytest.approx(0.0)
