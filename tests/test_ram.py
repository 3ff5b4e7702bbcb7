"""The recurrent attention model: its networks, its loss, and that it learns."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from glimpse_gym.agents.base import Task
from glimpse_gym.agents.evaluation import Conditions, evaluate
from glimpse_gym.agents.experiments.recipes import load_recipe
from glimpse_gym.agents.learner import ImageLearner, ImageTrainConfig
from glimpse_gym.agents.ram import RAM, RAMConfig, Rollout, Thought
from runs import assert_same_weights

TWO = Task((1, 4, 4), 1, "label", 2)
SMALL = RAMConfig(glimpse_units=16, glimpse_features=32, hidden_units=32)


def toy_images(number: int = 400) -> dict:
    """A bright square in the left or the right half of a dark image, too far out for a first look to tell always."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, number)
    images = np.zeros((number, 16, 16), np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(0, 11), (2 if label == 0 else 10) + rng.integers(-1, 2)
        image[row : row + 5, column : column + 4] = 255
    return {"images": images, "labels": labels, "patch_size": 4, "num_scales": 1, "num_glimpses": 5}


def toy_envs(number: int = 8, **kwargs):
    return gym.make_vec(
        "glimpse_gym/Images-v0", num_envs=number, autoreset_mode=AutoresetMode.DISABLED, **(toy_images() | kwargs)
    )


def random_rollout(agent: RAM, num_glimpses: int = 4, batch: int = 6) -> Rollout:
    torch.manual_seed(0)
    hidden = torch.rand(num_glimpses, batch, agent.config.hidden_units, requires_grad=True)
    mean = agent.location_network(hidden if agent.config.reinforce_into_core else hidden.detach())
    thoughts = Thought(hidden, agent.choice_network(hidden), mean)
    labels = torch.arange(batch) % agent.task.num_choices
    rewards = torch.arange(batch).remainder(2).float()
    return Rollout(thoughts, mean.detach() + 0.1 * torch.randn_like(mean), labels, rewards, rewards > 0)


# ------------------------------------------------------------------------------------------------- networks


def test_the_faithful_recipes_networks_have_the_papers_sizes():
    agent = RAM(Task((1, 8, 8), 1, "label", 10), load_recipe("paper-mnist").config)
    shapes = {name: tuple(weight.shape) for name, weight in agent.named_parameters() if name.endswith("weight")}
    assert shapes == {
        "glimpse_network.what.weight": (128, 64),
        "glimpse_network.where.weight": (128, 2),
        "glimpse_network.what_out.weight": (256, 128),
        "glimpse_network.where_out.weight": (256, 128),
        "core_network.hidden.weight": (256, 256),
        "core_network.input.weight": (256, 256),
        "location_network.mean.weight": (2, 256),
        "choice_network.logits.weight": (10, 256),
        "baseline.value.weight": (1, 256),
    }


def test_core_follows_its_equation():
    agent = RAM(TWO, replace(SMALL, core="rectifier"))
    features, hidden = torch.rand(3, 32), torch.rand(3, 32)
    core = agent.core_network
    expected = hidden @ core.hidden.weight.T + core.hidden.bias + features @ core.input.weight.T + core.input.bias
    output, state = core(features, hidden)
    torch.testing.assert_close(output, expected.clamp(min=0))
    assert torch.equal(state, output)


def test_location_layer_and_glimpse_network_get_gradients_from_an_episode():
    envs = toy_envs()
    agent = RAM(Task.of(envs), SMALL)
    agent.losses(agent.roll_out(envs, list(range(8))), copies=1).total.backward()
    for name, weight in agent.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_reinforce_alone_moves_the_location_layer():
    agent = RAM(TWO, SMALL)
    agent.losses(random_rollout(agent), copies=1).reinforce.backward()
    assert agent.location_network.mean.weight.grad.abs().sum() > 0
    assert agent.choice_network.logits.weight.grad is None


@pytest.mark.parametrize("into_core", [True, False])
def test_switch_of_reinforce_into_the_core(into_core):
    agent = RAM(TWO, RAMConfig(hidden_units=32, reinforce_into_core=into_core))
    rollout = random_rollout(agent)
    agent.losses(rollout, copies=1).reinforce.backward()
    grad = rollout.thoughts.hidden.grad
    assert (grad is not None) is into_core
    if into_core:
        assert grad.abs().sum() > 0


def test_nothing_but_the_baseline_learns_from_its_error():
    agent = RAM(TWO, SMALL)
    rollout = random_rollout(agent)
    agent.losses(rollout, copies=1).baseline.backward()
    assert rollout.thoughts.hidden.grad is None
    assert agent.baseline.value.weight.grad.abs().sum() > 0


# ----------------------------------------------------------------------------------------------------- loss


def test_log_probability_is_the_gaussians_and_of_the_unclipped_sample():
    agent = RAM(TWO, RAMConfig(sigma=0.3))
    mean, drawn = torch.tensor([[0.9, -0.2]]), torch.tensor([[1.4, -0.1]])
    gaussian = torch.distributions.Normal(mean, 0.3)

    def difference(a, b):
        return agent.log_probability(a, mean) - agent.log_probability(b, mean)

    other = torch.zeros(1, 2)
    expected = gaussian.log_prob(drawn).sum(-1) - gaussian.log_prob(other).sum(-1)
    torch.testing.assert_close(difference(drawn, other), expected)
    assert difference(drawn, drawn.clamp(-1, 1)) < 0


def test_rollout_keeps_samples_as_they_were_drawn():
    envs = toy_envs(64)
    agent = RAM(Task.of(envs), RAMConfig(sigma=1.0))
    rollout = agent.roll_out(envs, list(range(64)))
    assert rollout.locations.abs().max() > 1
    noise = rollout.locations - rollout.thoughts.mean.detach()
    assert 0.9 < noise.std() < 1.1
    assert not rollout.locations.requires_grad


@pytest.mark.parametrize("loss_at", ["every", "rising"])
def test_losses_against_plain_loops(loss_at):
    agent = RAM(TWO, RAMConfig(hidden_units=32, reinforce_weight=0.7, loss_at=loss_at))
    rollout = random_rollout(agent)
    thoughts = rollout.thoughts
    probabilities = thoughts.logits.softmax(-1)
    num_glimpses, batch = probabilities.shape[:2]
    cross_entropy = reinforce = squares = 0.0
    weights = [1 if loss_at == "every" else t + 1 for t in range(num_glimpses)]
    for b in range(batch):
        label = rollout.labels[b]
        for t in range(num_glimpses):
            cross_entropy -= weights[t] * probabilities[t, b, label].log() / (sum(weights) * batch)
        for t in range(num_glimpses - 1):
            result = sum(probabilities[later, b, label].item() for later in range(t + 1, num_glimpses))
            result /= num_glimpses - 1 - t
            value = agent.baseline(thoughts.hidden[t, b][None])[0]
            score = -(((rollout.locations[t, b] - thoughts.mean[t, b]) / agent.config.sigma) ** 2).sum() / 2
            reinforce -= (result - value.item()) * score / ((num_glimpses - 1) * batch)
            squares += (value - result) ** 2 / ((num_glimpses - 1) * batch)
    losses = agent.losses(rollout, copies=1)
    torch.testing.assert_close(losses.classification, cross_entropy)
    torch.testing.assert_close(losses.reinforce, reinforce)
    torch.testing.assert_close(losses.baseline, squares)
    torch.testing.assert_close(losses.total, cross_entropy + 0.7 * reinforce + squares)


def test_loss_at_the_last_glimpse_only():
    agent = RAM(TWO, RAMConfig(hidden_units=32, loss_at="last"))
    rollout = random_rollout(agent)
    losses = agent.losses(rollout, copies=1)
    expected = torch.nn.functional.cross_entropy(rollout.thoughts.logits[-1], rollout.labels)
    torch.testing.assert_close(losses.classification, expected)
    values = agent.baseline(rollout.thoughts.hidden[:-1])
    torch.testing.assert_close(losses.baseline, ((values - rollout.rewards) ** 2).mean())


def test_copies_are_measured_against_each_other():
    agent = RAM(TWO, SMALL)
    rollout = random_rollout(agent)
    log_probability = agent.log_probability(rollout.locations[:-1], rollout.thoughts.mean[:-1])
    # With "every", returns do not depend on rewards; take them from the loss of one copy, by its definition.
    later = rollout.thoughts.logits.softmax(-1).gather(-1, rollout.labels.expand(4, 6)[..., None])[..., 0].detach()
    returns = torch.stack([later[t + 1 :].mean(0) for t in range(3)])
    advantages = returns - agent.baseline(rollout.thoughts.hidden[:-1]).detach()
    expected = 0.0
    for first in range(0, 6, 3):
        for b in range(first, first + 3):
            others = [c for c in range(first, first + 3) if c != b]
            expected -= ((advantages[:, b] - advantages[:, others].mean(-1)) * log_probability[:, b]).sum()
    torch.testing.assert_close(agent.losses(rollout, copies=3).reinforce, expected / 18)


def test_one_glimpse_needs_no_locations():
    envs = toy_envs(num_glimpses=1)
    agent = RAM(Task.of(envs), SMALL)
    losses = agent.losses(agent.roll_out(envs, list(range(8))), copies=1)
    assert losses.reinforce == 0
    losses.total.backward()


# ---------------------------------------------------------------------------------------------------- acting


def test_memory_starts_afresh_where_time_is_zero():
    envs = toy_envs(4)
    agent = RAM(Task.of(envs), SMALL)
    observation, _ = envs.reset(seed=0)
    stale = torch.rand(4, 32)
    fresh_action, fresh_state = agent.act(observation, agent.initial_state(4))
    action, state = agent.act(observation, stale)
    assert torch.equal(state, fresh_state)
    np.testing.assert_equal(action, fresh_action)
    later = observation | {"time": np.array([[0.0], [0.2], [0.2], [0.0]], np.float32)}
    _, state = agent.act(later, stale)
    assert [torch.equal(a, b) for a, b in zip(state, fresh_state, strict=True)] == [True, False, False, True]


def test_actions_belong_to_the_space_and_samples_are_seeded():
    envs = toy_envs(4)
    agent = RAM(Task.of(envs), RAMConfig(sigma=2.0))
    observation, _ = envs.reset(seed=0)
    agent.seed(3)
    first, _ = agent.act(observation, agent.initial_state(4), sample=True)
    second, _ = agent.act(observation, agent.initial_state(4), sample=True)
    agent.seed(3)
    again, _ = agent.act(observation, agent.initial_state(4), sample=True)
    assert envs.action_space.contains(first)
    np.testing.assert_equal(again, first)
    assert not np.array_equal(first["location"], second["location"])


def test_only_the_hybrid_form_is_accepted():
    for envs in (toy_envs(actions="discrete"), gym.make_vec("CartPole-v1", num_envs=2)):
        with pytest.raises(ValueError, match=r"hybrid form .* got the action space Discrete"):
            Task.of(envs)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sigma": 0.0}, "sigma must be greater than 0"),
        ({"loss_at": "first"}, "loss_at must be one of 'every', 'rising', 'last'"),
        ({"hidden_units": "many"}, "hidden_units must be of type int"),
        ({"reinforce_into_core": 1}, "reinforce_into_core must be of type bool"),
    ],
)
def test_configurations_that_make_no_sense(values, message):
    with pytest.raises(ValueError, match=message):
        RAMConfig(**values)


# -------------------------------------------------------------------------------------------------- learning


def test_the_same_seed_twice_is_bit_equal_and_another_is_not():
    def weights(seed):
        config = ImageTrainConfig(seed=seed, num_episodes=320, batch_size=16, copies=2)
        learner = ImageLearner("glimpse_gym/Images-v0", toy_images(), config, SMALL)
        for _ in range(20):
            learner.update()
        return learner.agent.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert_same_weights(first, again)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_copies_share_image_and_first_glimpse():
    seen = []

    class Spy(RAM):
        def think(self, glimpse, location, state):
            seen.append(glimpse)
            return super().think(glimpse, location, state)

    config = ImageTrainConfig(num_episodes=64, batch_size=8, copies=4)
    learner = ImageLearner("glimpse_gym/Images-v0", toy_images(), config, SMALL)
    learner.agent.__class__ = Spy
    learner.update()
    first, second = seen[0].reshape(2, 4, -1), seen[1].reshape(2, 4, -1)
    assert (first == first[:, :1]).all()
    assert not (second == second[:, :1]).all()


def test_solves_a_toy_world_by_looking():
    config = ImageTrainConfig(seed=0, num_episodes=30_000, batch_size=100, learning_rate=5e-3, warmup_updates=20)
    kwargs = toy_images()
    learner = ImageLearner("glimpse_gym/Images-v0", kwargs, config, SMALL)
    while not learner.done:
        learner.update()
    kwargs.pop("split", None)

    def last_error(locations):
        conditions = Conditions("test", locations)
        return evaluate(learner.agent, "glimpse_gym/Images-v0", kwargs, conditions).errors[-1]

    assert last_error("learned") < 0.06
    assert last_error("center") > 0.2
