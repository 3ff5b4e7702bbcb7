"""Supervised learning of whole-image classifiers: the loss, batch normalization, and that it learns."""

import math

import numpy as np
import pytest
import torch

from glimpse_gym.agents.configs import ClassifierConfig
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.supervised import Supervised
from runs import (
    IMAGES,
    STRIPES_SIDE,
    assert_same_weights,
    copy_state,
    make_envs,
    run_updates,
    stripes_file,
    supervised_config,
)

every_network = pytest.mark.parametrize("network", ["fc", "conv", "cnn"])


@pytest.fixture(scope="module")
def env_kwargs(tmp_path_factory):
    return stripes_file(tmp_path_factory.mktemp("stripes"))


def make_learner(env_kwargs, network, **training):
    return Supervised(IMAGES, env_kwargs, supervised_config(**training), ClassifierConfig(network=network, units=16))


@every_network
def test_learns_a_trivial_task(network, env_kwargs):
    learner = run_updates(make_learner(env_kwargs, network))
    assert evaluate(learner.policy, IMAGES, env_kwargs, EvalConditions("test")).errors[0] < 0.05
    assert evaluate(learner.policy, IMAGES, env_kwargs, EvalConditions("validation")).num_episodes == 40


@every_network
def test_loss_is_the_cross_entropy_and_trains_every_weight(network, env_kwargs):
    learner = make_learner(env_kwargs, network, num_episodes=8, batch_size=8)
    rollout = learner.rollout()
    loss = learner.loss(rollout)
    envs = make_envs(num_envs=8, **env_kwargs, split="train", reveal_label=True)
    observation, info = envs.reset(seed=list(range(8)))
    logits = learner.policy.network(torch.from_numpy(observation["glimpse"])).detach().double().numpy()
    expected = 0.0
    for row, label in zip(logits, info["label"], strict=True):
        expected -= (row[label] - math.log(sum(math.exp(value) for value in row))) / 8
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert rollout.labels.tolist() == info["label"].tolist()
    assert rollout.correct.tolist() == (logits.argmax(axis=1) == info["label"]).tolist()
    loss.backward()
    assert all(weight.grad.abs().max() > 0 for weight in learner.policy.parameters())


def test_update_returns_the_loss_and_the_training_error(env_kwargs, monkeypatch):
    learner = make_learner(env_kwargs, "fc")
    rollouts, rollout = [], learner.rollout
    monkeypatch.setattr(learner, "rollout", lambda: rollouts.append(rollout()) or rollouts[-1])
    losses, error = learner.update()
    assert losses == {"total": pytest.approx(learner.loss(rollouts[0]).item())}
    assert error == pytest.approx(1 - rollouts[0].correct.float().mean().item())


def test_longer_episodes_are_classified_at_the_first_glimpse(env_kwargs):
    learner = make_learner(env_kwargs | {"num_glimpses": 3}, "fc", batch_size=10)
    rollout, single = learner.rollout(), make_learner(env_kwargs, "fc", batch_size=10).rollout()
    assert torch.equal(rollout.logits, single.logits)
    assert torch.equal(rollout.labels, single.labels)
    assert torch.equal(rollout.correct, single.correct)


@every_network
def test_same_seed_is_bit_equal_and_another_seed_is_not(network, env_kwargs):
    def state(seed):
        return run_updates(make_learner(env_kwargs, network, seed=seed), 3).policy.state_dict()

    first, again, other = state(1), state(1), state(2)
    assert_same_weights(first, again)
    assert not any(torch.equal(first[name], other[name]) for name in first if "num_batches" not in name)


# ------------------------------------------------------------------------------------- batch normalization


def test_training_changes_the_batch_norm_buffers_and_evaluation_does_not(env_kwargs):
    learner = make_learner(env_kwargs, "cnn")
    before = copy_state(learner.policy)
    learner.update()
    trained = copy_state(learner.policy)
    buffers = {name for name, _ in learner.policy.named_buffers()}
    assert len(buffers) == 4 * 3
    assert not any(torch.equal(before[name], trained[name]) for name in before)
    for sample in (False, True):
        evaluate(learner.policy, IMAGES, env_kwargs, EvalConditions("train", sample=sample))
    assert_same_weights(learner.policy.state_dict(), trained)


def test_prediction_does_not_depend_on_the_rest_of_the_batch_or_on_earlier_calls(env_kwargs):
    policy = run_updates(make_learner(env_kwargs, "cnn"), 3).policy
    images = torch.from_numpy(np.random.default_rng(0).random((6, 1, STRIPES_SIDE, STRIPES_SIDE), np.float32))
    first = policy.network(images)
    assert torch.equal(policy.network(images), first)
    torch.testing.assert_close(policy.network(images[:2]), first[:2])
