"""The recurrent attention model: sizes, forward and unroll, sampling, and act.

B episodes, T glimpses.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

import oracles
from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.experiments.recipes import load_recipe
from glimpse_gym.agents.networks import CORES
from glimpse_gym.agents.ram import RAM
from runs import CATCH, SMALL_RAM, make_envs, noise_images, square_images

TWO_CLASSES = TaskSpec((1, 4, 4), 1, "label", 2, choice_is_final=True)
SMALL = RAMConfig(**SMALL_RAM)
B, T = 3, 6


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def make_ram(envs, **config):
    return RAM(TaskSpec.from_env(envs), RAMConfig(**SMALL_RAM | config))


# ------------------------------------------------------------------------------------------------- networks


def test_networks_of_the_paper_recipe_have_the_sizes_of_the_paper():
    policy = RAM(TaskSpec((1, 8, 8), 1, "label", 10, True), load_recipe("paper-adam-mnist").policy_config)
    shapes = {name: tuple(weight.shape) for name, weight in policy.named_parameters() if name.endswith("weight")}
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


def test_relu_core_of_a_ram_follows_its_equation():
    core = RAM(TWO_CLASSES, replace(SMALL, core="relu")).core_network
    features, hidden = torch.rand(3, 16), torch.rand(3, 16)
    expected = hidden @ core.hidden.weight.T + core.hidden.bias + features @ core.input.weight.T + core.input.bias
    output, state = core(features, hidden)
    torch.testing.assert_close(output, expected.clamp(min=0))
    assert torch.equal(state, output)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_unroll_equals_forward_step_by_step(core, gain):
    task_spec = TaskSpec((6, 4, 4), 3, "move", 3, choice_is_final=False)
    policy = RAM(task_spec, RAMConfig(**SMALL_RAM, core=core, scale_gain=gain))
    glimpses, locations = torch.rand(T, B, 6, 4, 4), torch.rand(T, B, 2)
    outputs = policy.unroll(glimpses.flatten(0, 1), locations.flatten(0, 1), [B] * T)
    state = None
    for t in range(T):
        output, state = policy(glimpses[t], locations[t], state)
        for found, expected in zip(outputs, output, strict=True):
            torch.testing.assert_close(found.unflatten(0, (T, B))[t], expected)


@pytest.mark.parametrize("detach", [True, False])
def test_detach_location_network_stops_the_gradient_of_the_location_mean(detach):
    policy = RAM(TWO_CLASSES, replace(SMALL, detach_location_network=detach))
    output, _ = policy(torch.rand(B, 1, 4, 4), torch.rand(B, 2), None)
    output.location_mean.sum().backward()
    assert policy.location_network.mean.weight.grad.abs().sum() > 0
    for network in (policy.core_network, policy.glimpse_network):
        assert any(weight.grad is not None for weight in network.parameters()) is not detach


# ------------------------------------------------------------------------------------------------- sampling


def test_location_log_prob_is_gaussian_and_of_the_location_before_clipping():
    policy = RAM(TWO_CLASSES, replace(SMALL, sigma=0.3))
    mean, sampled = torch.tensor([[0.9, -0.2]]), torch.tensor([[1.4, -0.1]])
    gaussian = torch.distributions.Normal(mean, 0.3)

    def difference(a, b):
        return policy.location_log_prob(a, mean) - policy.location_log_prob(b, mean)

    other = torch.zeros(1, 2)
    expected = gaussian.log_prob(sampled).sum(-1) - gaussian.log_prob(other).sum(-1)
    torch.testing.assert_close(difference(sampled, other), expected)
    assert difference(sampled, sampled.clamp(-1, 1)) < 0


def test_location_log_prob_of_random_locations_is_constant():
    policy = RAM(TWO_CLASSES, replace(SMALL, location_policy="random"))
    mean = torch.rand(T, B, 2, requires_grad=True)
    log_prob = policy.location_log_prob(torch.rand(T, B, 2), mean)
    assert log_prob.shape == (T, B)
    assert not log_prob.any()
    assert not log_prob.requires_grad


def test_sampled_locations_have_the_mean_and_sigma_and_are_detached():
    policy = RAM(TWO_CLASSES, replace(SMALL, sigma=0.5))
    mean = torch.tensor([0.9, -0.4]).expand(20_000, 2).clone().requires_grad_()
    sample = policy.sample_location(mean)
    torch.testing.assert_close(sample.mean(0), mean[0].detach(), atol=0.02, rtol=0)
    torch.testing.assert_close(sample.std(0), torch.full((2,), 0.5), atol=0.02, rtol=0)
    assert not sample.requires_grad


def test_sampled_choices_follow_their_probabilities():
    policy = RAM(TWO_CLASSES, SMALL)
    choices = policy.sample_choice(torch.tensor([0.2, 0.5, 0.3]).log().expand(9000, 3))
    for choice, probability in enumerate((0.2, 0.5, 0.3)):
        oracles.assert_binomial(int((choices == choice).sum()), 9000, probability)


# -------------------------------------------------------------------------------------------------- acting


def test_state_is_reset_where_time_is_zero():
    envs = make_envs(num_envs=4, **square_images())
    policy = make_ram(envs)
    observation, _ = envs.reset(seed=0)
    old_state = torch.rand(4, 16)
    new_action, new_state = policy.act(observation, policy.initial_state(4))
    action, state = policy.act(observation, old_state)
    assert torch.equal(state, new_state)
    np.testing.assert_equal(action, new_action)
    later = observation | {"time": np.array([[0.0], [0.2], [0.2], [0.0]], np.float32)}
    _, state = policy.act(later, old_state)
    assert [torch.equal(a, b) for a, b in zip(state, new_state, strict=True)] == [True, False, False, True]


@pytest.mark.parametrize("core", CORES)
def test_state_of_every_core_is_reset_where_time_is_zero(core):
    policy = RAM(TWO_CLASSES, replace(SMALL, core=core))
    observation = {
        "glimpse": np.random.default_rng(0).random((B, 1, 4, 4), np.float32),
        "location": np.zeros((B, 2), np.float32),
        "time": np.array([[0.0], [0.5], [0.0]], np.float32),
    }
    state = policy.initial_state(B)
    assert state.shape == (B, 16 * (2 if core == "lstm" else 1))
    assert not state.any()
    _, expected = policy.act(observation, state)
    _, found = policy.act(observation, torch.rand(state.shape))
    assert [torch.equal(a, b) for a, b in zip(found, expected, strict=True)] == [True, False, True]


def test_actions_belong_to_the_space_and_samples_are_seeded():
    envs = make_envs(num_envs=4, **square_images())
    policy = make_ram(envs, sigma=2.0)
    observation, _ = envs.reset(seed=0)
    policy.seed(3)
    first, _ = policy.act(observation, policy.initial_state(4), sample=True)
    second, _ = policy.act(observation, policy.initial_state(4), sample=True)
    policy.seed(3)
    again, _ = policy.act(observation, policy.initial_state(4), sample=True)
    assert envs.action_space.contains(first)
    np.testing.assert_equal(again, first)
    assert not np.array_equal(first["next_location"], second["next_location"])


def test_without_sampling_act_takes_the_mean_and_the_most_probable_choice():
    envs = make_envs(CATCH, 50)
    policy = make_ram(envs)
    observation, _ = envs.reset(seed=0)
    action, _ = policy.act(observation, policy.initial_state(50))
    glimpse, location = torch.from_numpy(observation["glimpse"]), torch.from_numpy(observation["location"])
    output, _ = policy(glimpse, location, None)
    assert action["move"].tolist() == output.logits.argmax(-1).tolist()
    np.testing.assert_allclose(action["next_location"], output.location_mean.detach(), rtol=1e-5, atol=1e-6)
    assert action["move"].dtype == np.int64
    assert action["next_location"].dtype == np.float32


def test_sampling_applies_to_moves_and_not_to_labels():
    for env_id, kwargs, name, drawn in (
        (CATCH, {}, "move", True),
        ("glimpse_gym/Images-v0", noise_images(), "label", False),
    ):
        envs = make_envs(env_id, 50, **kwargs)
        policy = make_ram(envs)
        observation, _ = envs.reset(seed=0)
        mode, _ = policy.act(observation, policy.initial_state(50))
        sample, _ = policy.act(observation, policy.initial_state(50), sample=True)
        assert (mode[name] != sample[name]).any() == drawn


@pytest.mark.parametrize("sample", [False, True])
def test_random_locations_are_random_in_evaluation_too_and_seeded(sample):
    envs = make_envs(num_envs=300, **noise_images())
    policy = make_ram(envs, location_policy="random")
    observation, _ = envs.reset(seed=0)
    policy.seed(5)
    first, _ = policy.act(observation, policy.initial_state(300), sample=sample)
    second, _ = policy.act(observation, policy.initial_state(300), sample=sample)
    policy.seed(5)
    again, _ = policy.act(observation, policy.initial_state(300), sample=sample)
    assert envs.action_space.contains(first)
    np.testing.assert_equal(again, first)
    assert (first["next_location"] != second["next_location"]).all()
    cells = ((np.concatenate([first["next_location"], second["next_location"]]) + 1) * 2).astype(int)
    assert abs(oracles.chi_square(np.bincount(4 * cells[:, 0] + cells[:, 1], minlength=16))) < 5
