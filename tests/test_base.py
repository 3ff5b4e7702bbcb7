"""The task specification and the base class of policies."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from glimpse_gym.agents.base import Policy, TaskSpec
from runs import CATCH, make_envs, noise_images


def test_task_spec_of_a_classification_env():
    assert TaskSpec.from_env(make_envs(**noise_images())) == TaskSpec((2, 4, 4), 2, "label", 4, choice_is_final=True)


def test_task_spec_of_color_images_counts_channels_and_scales_apart():
    images = np.zeros((20, 8, 8, 3), np.uint8)
    envs = make_envs(images=images, labels=np.arange(20) % 2, patch_size=4, num_scales=2, num_glimpses=2)
    assert TaskSpec.from_env(envs) == TaskSpec((6, 4, 4), 2, "label", 2, choice_is_final=True)


def test_task_spec_of_catch():
    assert TaskSpec.from_env(make_envs(CATCH)) == TaskSpec((3, 6, 6), 3, "move", 3, choice_is_final=False)


def test_task_spec_of_discrete_actions():
    spec = TaskSpec.from_env(make_envs(**noise_images(actions="discrete", grid_size=3)))
    assert spec == TaskSpec((2, 4, 4), 2, "choice", 4, choice_is_final=True, num_cells=9, num_glimpses=4)
    assert (spec.actions, spec.num_actions) == ("discrete", 13)
    spec = TaskSpec.from_env(make_envs(CATCH, actions="discrete"))
    assert spec == TaskSpec((3, 6, 6), 3, "choice", 3, choice_is_final=False, num_cells=25)
    assert (spec.actions, spec.num_actions) == ("discrete", 75)
    assert TaskSpec.from_env(make_envs(CATCH)).actions == "hybrid"


@pytest.mark.parametrize(
    "make",
    [
        lambda: gym.make_vec("CartPole-v1", num_envs=2),
        lambda: make_envs(**noise_images(actions="multidiscrete")),
        lambda: make_envs(CATCH, actions="multidiscrete"),
        lambda: make_envs(CATCH, actions="continuous"),
    ],
    ids=["CartPole", "Images-multidiscrete", "Catch-multidiscrete", "Catch-continuous"],
)
def test_other_actions_are_refused(make):
    with pytest.raises(ValueError, match=r"hybrid actions, .* or discrete ones, .* got the action space"):
        TaskSpec.from_env(make())


def test_flat_observations_are_refused():
    with pytest.raises(ValueError, match=r"dict observations; got .* observation space Box"):
        TaskSpec.from_env(make_envs(CATCH, observations="flat"))


@pytest.mark.parametrize("changes", [{"patch_size": 3}, {"num_scales": 1}, {"num_classes": 5}])
def test_check_names_both_specifications(changes):
    spec = TaskSpec.from_env(make_envs(**noise_images()))
    spec.check(make_envs(**noise_images()))
    with pytest.raises(ValueError, match=r"made for glimpses of shape \(2, 4, 4\) at 2 scales and 4 labels, and the"):
        spec.check(make_envs(**noise_images(**changes)))


@pytest.mark.parametrize("changes", [{"num_glimpses": 5}, {"grid_size": 4}, {"actions": "hybrid"}])
def test_check_in_the_discrete_form_also_compares_steps_and_cells(changes):
    kwargs = noise_images(actions="discrete")
    spec = TaskSpec.from_env(make_envs(**kwargs))
    spec.check(make_envs(**kwargs))
    with pytest.raises(ValueError, match="and 4 choices in 4 steps, as 29 discrete actions, and the env has glimpses"):
        spec.check(make_envs(**kwargs | changes))


def test_policy_seed_and_check_env():
    spec = TaskSpec.from_env(make_envs(**noise_images()))
    policy = Policy(spec, config=None)
    policy.seed(3)
    first = torch.rand(4, generator=policy.generator)
    policy.seed(3)
    assert torch.equal(torch.rand(4, generator=policy.generator), first)
    assert policy.initial_state(5) is None
    policy.check_env(make_envs(**noise_images()))
    with pytest.raises(ValueError, match="the agent was made for"):
        policy.check_env(make_envs(CATCH))
