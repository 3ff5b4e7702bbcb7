"""The tables of policies and algorithms, and a new algorithm that is one class and one line."""

from dataclasses import dataclass

import pytest
import torch

from glimpse_gym.agents.base import Policy, TaskSpec
from glimpse_gym.agents.configs import (
    ClassifierConfig,
    DiscreteRAMConfig,
    PPOConfig,
    RAMConfig,
    ReinforceConfig,
    ScriptedConfig,
    SupervisedConfig,
    TrainConfig,
)
from glimpse_gym.agents.learner import Learner
from glimpse_gym.agents.ram import RAM
from glimpse_gym.agents.registry import (
    ALGORITHMS,
    POLICIES,
    AlgorithmEntry,
    algorithm_name,
    default_algorithm,
    default_configs,
    make_learner,
    make_policy,
    make_policy_config,
    make_train_config,
    policy_name,
)
from glimpse_gym.agents.trainer import Trainer
from runs import CATCH, IMAGES, SMALL_RAM, noise_file, stripes_file

TASK_SPECS = {
    "ram": TaskSpec((2, 4, 4), 2, "label", 3, True),
    "discrete-ram": TaskSpec((2, 4, 4), 2, "choice", 3, True, num_cells=9, num_glimpses=5),
    "classifier": TaskSpec((2, 4, 4), 2, "label", 3, True),
    "scripted": TaskSpec((3, 6, 6), 3, "move", 3, False),
}


def test_names_of_policies_and_algorithms():
    assert {name: entry.config_class for name, entry in POLICIES.items()} == {
        "ram": RAMConfig,
        "discrete-ram": DiscreteRAMConfig,
        "classifier": ClassifierConfig,
        "scripted": ScriptedConfig,
    }
    assert {name: entry.config_class for name, entry in ALGORITHMS.items()} == {
        "reinforce": ReinforceConfig,
        "supervised": SupervisedConfig,
        "ppo": PPOConfig,
    }


@pytest.mark.parametrize("name", POLICIES)
def test_make_policy_from_the_name_of_every_policy(name):
    config = make_policy_config(name, {})
    assert policy_name(config) == name
    task_spec = TASK_SPECS[name]
    policy = make_policy(task_spec, config)
    assert isinstance(policy, Policy)
    assert policy.config == config
    assert policy.task_spec == task_spec


@pytest.mark.parametrize("name", ALGORITHMS)
def test_make_learner_from_the_name_of_every_algorithm(name, tmp_path):
    config = make_train_config(name, {"batch_size": 8} | ({"minibatch_size": 4} if name == "ppo" else {}))
    assert algorithm_name(config) == name
    env_kwargs = stripes_file(tmp_path) if name == "supervised" else noise_file(tmp_path)
    learner = make_learner(IMAGES, env_kwargs, config, ALGORITHMS[name].default_policy)
    assert isinstance(learner, Learner)
    assert type(learner.policy.config) is type(ALGORITHMS[name].default_policy)
    assert learner.envs.num_envs == 8


def test_default_algorithm_depends_on_the_action_form_and_on_whether_the_choice_is_final():
    assert default_algorithm("glimpse_gym/MNIST-v0") == "reinforce"
    assert default_algorithm("glimpse_gym/MNISTDiscrete-v0") == "ppo"
    assert default_algorithm(CATCH) == default_algorithm("glimpse_gym/CatchDiscrete-v0") == "ppo"


def test_default_configs():
    assert default_configs(IMAGES) == (ReinforceConfig(), RAMConfig())
    assert default_configs(IMAGES, "supervised") == (SupervisedConfig(), ClassifierConfig())
    assert default_configs(CATCH) == (PPOConfig(), ALGORITHMS["ppo"].default_policy)
    with pytest.raises(ValueError, match="algorithm must be one of 'reinforce', 'supervised', 'ppo'; got 'dqn'"):
        default_configs(IMAGES, "dqn")


def test_default_configs_of_ppo_depend_on_the_action_form_and_on_whether_the_choice_is_final():
    for env_id in ("glimpse_gym/MNISTDiscrete-v0", "glimpse_gym/ClutteredMNISTDiscrete-v0"):
        assert default_configs(env_id) == ALGORITHMS["ppo"].presets["discrete", True]
    assert default_configs("glimpse_gym/CatchDiscrete-v0") == ALGORITHMS["ppo"].presets["discrete", False]
    assert default_configs("glimpse_gym/MNIST-v0", "ppo") == ALGORITHMS["ppo"].presets["hybrid", True]
    for (actions, _), (_, policy_config) in ALGORITHMS["ppo"].presets.items():
        assert type(policy_config) is (DiscreteRAMConfig if actions == "discrete" else RAMConfig)


def test_envs_of_other_packages_are_refused():
    with pytest.raises(ValueError, match="CartPole-v1 is not a glimpse_gym env"):
        default_algorithm("CartPole-v1")


def test_unknown_names_and_settings_are_refused():
    with pytest.raises(ValueError, match="policy must be one of 'ram', 'discrete-ram', 'classifier', 'scripted'; got"):
        make_policy_config("cnn", {})
    with pytest.raises(ValueError, match=r"algorithm must be one of .*; got 'dqn'"):
        make_train_config("dqn", {})
    with pytest.raises(ValueError, match=r"unknown settings \['clip'\]; PPOConfig has seed, .*clip_coef"):
        make_train_config("ppo", {"clip": 0.2})
    with pytest.raises(ValueError, match=r"unknown settings \['looks'\]; RAMConfig has glimpse_network"):
        make_policy_config("ram", {"looks": "random"})


def test_configs_that_belong_to_nothing_are_refused():
    with pytest.raises(ValueError, match="TrainConfig is not the configuration of an algorithm"):
        algorithm_name(TrainConfig())
    with pytest.raises(ValueError, match="PPOConfig is not the configuration of a policy"):
        policy_name(PPOConfig())


@dataclass(frozen=True)
class CountingConfig(TrainConfig):
    """A toy algorithm's configuration."""

    step: float = 1.0


class Counting(Learner):
    """A toy algorithm: adds a constant to one bias per update."""

    policy_class = RAM

    def _learn(self):
        self.envs.reset(seed=self._episode_seeds())
        with torch.no_grad():
            self.policy.choice_network.logits.bias += self.config.step
        return {"total": 0.5}, 0.25


def test_a_new_algorithm_trains_and_resumes_with_one_line_in_the_table(monkeypatch, tmp_path):
    entry = AlgorithmEntry(f"{__name__}:Counting", CountingConfig, RAMConfig(**SMALL_RAM))
    monkeypatch.setitem(ALGORITHMS, "counting", entry)
    config = CountingConfig(num_episodes=80, batch_size=8, num_evaluations=2, validation_episodes=20)
    kwargs = noise_file(tmp_path)
    trainer = Trainer(tmp_path / "run", IMAGES, kwargs, config)
    bias = trainer.policy.choice_network.logits.bias.detach().clone()
    assert trainer.train(progress=False)
    torch.testing.assert_close(trainer.policy.choice_network.logits.bias.detach(), bias + 10)
    assert trainer.metadata.training["algorithm"] == "counting"
    assert trainer.history[-1]["training_error"] == 0.25
    assert Trainer(tmp_path / "run", IMAGES, kwargs, config, resume=True).learner.done
