"""Agents that look by a rule: in evaluation, and in training by the hybrid loss and by PPO.

B episodes, T glimpses.
"""

import numpy as np
import pytest
import torch

from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.configs import PPOConfig, RAMConfig, ReinforceConfig
from glimpse_gym.agents.evaluation import EvalConditions, play_episodes
from glimpse_gym.agents.location_policies import LOCATION_RULES, SaliencyLocations
from glimpse_gym.agents.ram import RAM
from glimpse_gym.agents.registry import make_learner
from glimpse_gym.agents.trainer import Trainer
from runs import (
    CATCH,
    IMAGES,
    SMALL_RAM,
    assert_same_weights,
    make_envs,
    noise_file,
    noise_images,
    run_updates,
    square_images,
    stop_after,
)
from test_location_policies import look, zeros

N = SaliencyLocations.num_cells


@pytest.mark.parametrize("env_id", [IMAGES, CATCH])
@pytest.mark.parametrize("name", LOCATION_RULES)
def test_agent_looks_where_the_rule_says_in_evaluation(name, env_id):
    kwargs = square_images() if env_id == IMAGES else {}
    policy = RAM(TaskSpec.from_env(make_envs(env_id, **kwargs)), RAMConfig(**SMALL_RAM, location_policy=name))
    rule = LOCATION_RULES[name]()
    memory, expected = zeros(rule, 20), []

    def follow(envs, observation):
        nonlocal memory
        rule.bind(envs)
        location, memory = rule.next_location(observation, memory)
        expected.append(location.numpy())

    # Two batches: the memory of the first must not reach the second.
    for batch in play_episodes(policy, env_id, kwargs, EvalConditions(), num_episodes=40, num_envs=20, on_step=follow):
        np.testing.assert_array_equal(batch.locations[1:], expected[:-1])
        expected.clear()


@pytest.mark.parametrize("name", ["center", "saliency", "oracle"])
def test_evaluation_at_other_locations_overrides_the_rule(name):
    policy = RAM(TaskSpec.from_env(make_envs(**square_images())), RAMConfig(**SMALL_RAM, location_policy=name))

    def locations(source):
        return next(play_episodes(policy, IMAGES, square_images(), EvalConditions("test", source))).locations

    assert not locations("center").any()
    assert len(np.unique(locations("random")[1:].round(3))) > 100


def test_state_of_an_agent_holds_the_memory_of_its_rule():
    envs = make_envs(num_envs=3, **noise_images())
    policy = RAM(TaskSpec.from_env(envs), RAMConfig(**SMALL_RAM, location_policy="saliency"))
    policy.check_env(envs)
    observation, _ = envs.reset(seed=0)
    assert policy.initial_state(3).shape == (3, 16 + 2 * N**2)
    assert not policy.initial_state(3).any()
    action, state = policy.act(observation, policy.initial_state(3))
    assert state.shape == (3, 16 + 2 * N**2)
    assert envs.action_space.contains(action)
    again, new_state = policy.act(observation, torch.rand(state.shape), sample=True)  # time is 0 in all rows
    np.testing.assert_array_equal(again["next_location"], action["next_location"])
    assert torch.equal(new_state, state)
    decision = policy.decide(observation, policy.initial_state(3))
    assert (decision.location_mean, decision.location_std) == (None, None)


@pytest.mark.parametrize("name", LOCATION_RULES)
def test_hybrid_loss_trains_the_choices_only(name):
    config = ReinforceConfig(num_episodes=64, batch_size=16, pathwise_max_norm=0.4)
    learner = make_learner(IMAGES, noise_images(), config, RAMConfig(**SMALL_RAM, location_policy=name))
    seen = []
    learner.policy.glimpse_network.register_forward_hook(lambda _, given, __: seen.append(given[1].clone()))
    losses = learner.loss(learner.rollout())
    assert (losses.reinforce, losses.baseline) == (0, 0)
    assert torch.equal(losses.total, losses.classification)
    losses.total.backward()
    grads = {key: weight.grad for key, weight in learner.policy.named_parameters()}
    assert {key.split(".")[0] for key, grad in grads.items() if grad is None} == {"location_network", "baseline"}
    seeds = [learner.config.seed + i for i in range(16)]
    expected = look(make_envs(num_envs=16, split="train", **noise_images()), LOCATION_RULES[name](), seeds)
    assert not torch.stack(seen).requires_grad
    np.testing.assert_array_equal(torch.stack(seen), expected)


@pytest.mark.parametrize("name", ["center", "oracle"])
def test_evaluation_between_updates_does_not_change_where_training_looks(name):
    def weights(evaluates):
        config = ReinforceConfig(num_episodes=64, batch_size=16)
        learner = make_learner(IMAGES, square_images(), config, RAMConfig(**SMALL_RAM, location_policy=name))
        while not learner.done:
            learner.update()
            if evaluates:
                next(play_episodes(learner.policy, IMAGES, square_images(), EvalConditions()))
        return learner.policy.state_dict()

    assert_same_weights(weights(True), weights(False))


@pytest.mark.parametrize("name", ["random", *LOCATION_RULES])
def test_ppo_trains_the_moves_only(name):
    config = PPOConfig(num_episodes=32, batch_size=8, minibatch_size=4, num_epochs=1)
    learner = make_learner(CATCH, {"num_glimpses": 5}, config, RAMConfig(**SMALL_RAM, location_policy=name))
    before = {key: value.clone() for key, value in learner.policy.state_dict().items()}
    run_updates(learner)
    after = learner.policy.state_dict()
    unchanged = {key for key in before if torch.equal(before[key], after[key])}
    not_trained = {"location_network.mean.weight", "location_network.mean.bias"}
    if name == "center":  # at (0, 0), with biases of 0, the ReLU units on the location are at 0
        not_trained |= {f"glimpse_network.{part}" for part in ("where.weight", "where.bias", "where_out.weight")}
    assert unchanged == not_trained


@pytest.mark.parametrize("name", ["raster", "saliency"])
def test_resume_is_bit_equal(tmp_path, monkeypatch, name):
    monkeypatch.setattr(Trainer, "_save_curve", lambda trainer: None)
    config = ReinforceConfig(num_episodes=80, batch_size=8, num_evaluations=2, validation_episodes=10)
    policy = RAMConfig(**SMALL_RAM, location_policy=name)

    def make(folder, resume=False):
        return Trainer(tmp_path / folder, IMAGES, noise_file(tmp_path), config, policy, resume)

    whole, stopped = make("whole"), make("stopped")
    assert whole.train(progress=False)
    stop_after(stopped, 6)
    assert not stopped.train(progress=False)
    resumed = make("stopped", resume=True)
    assert resumed.train(progress=False)
    assert_same_weights(resumed.policy.state_dict(), whole.policy.state_dict())
