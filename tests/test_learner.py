"""The base class of algorithms: episode seeds, optimizers, number formats, mismatches, and the env's interface."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch

from glimpse_gym.agents import evaluation
from glimpse_gym.agents import learner as learner_module
from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.configs import (
    MAX_SEEDS,
    ClassifierConfig,
    PPOConfig,
    RAMConfig,
    ReinforceConfig,
    ScriptedConfig,
    SupervisedConfig,
)
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.muon import Muon
from glimpse_gym.agents.registry import make_learner
from glimpse_gym.agents.scripted import ScriptedPlayer
from glimpse_gym.validation import NotFiniteError
from runs import (
    CATCH,
    IMAGES,
    SMALL_RAM,
    NoWorld,
    assert_same_weights,
    copy_state,
    make_envs,
    make_reinforce,
    noise_images,
    run_updates,
    square_images,
    stripe_images,
    whole_image,
)

CATCH_KWARGS = {"num_glimpses": 3, "patch_size": 3, "num_scales": 2}
RAM, CLASSIFIER = RAMConfig(**SMALL_RAM), ClassifierConfig(units=8)
TRAINING = {"num_episodes": 48, "batch_size": 8}
PPO_CONFIG = PPOConfig(**TRAINING, minibatch_size=4)


# ------------------------------------------------------------------------------------------------- updates


def test_counters_and_done():
    learner = make_reinforce(num_episodes=24, batch_size=8)
    assert learner.horizon == 5
    for done in range(3):
        assert (learner.num_updates_done, learner.num_episodes_done, learner.done) == (done, 8 * done, False)
        learner.update()
    assert (learner.num_updates_done, learner.num_episodes_done, learner.done) == (3, 24, True)


def test_learning_rate_follows_the_schedule():
    learner = make_reinforce(num_episodes=80, batch_size=8, learning_rate=0.02, warmup_updates=2)
    for done in range(4):
        learner.update()
        rates = {group["lr"] for optimizer in learner.optimizers for group in optimizer.param_groups}
        assert rates == {learner.config.learning_rate_at(done)}


def test_gradients_are_clipped_to_max_grad_norm():
    learner = make_reinforce(max_grad_norm=1e-3)
    learner.update()
    norm = torch.stack([weight.grad.norm() for weight in learner.policy.parameters()]).norm().item()
    assert norm == pytest.approx(1e-3, rel=1e-3)


def test_gradient_that_is_not_finite_is_refused_before_the_step():
    learner = make_reinforce()
    before = copy_state(learner.policy)
    next(learner.policy.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NotFiniteError, match="the norm of the gradient must be finite, got"):
        learner.update()
    assert_same_weights(learner.policy.state_dict(), before)


def test_policy_is_in_training_mode_during_updates_only(monkeypatch):
    learner, modes = make_reinforce(), []
    rollout = learner.rollout
    monkeypatch.setattr(learner, "rollout", lambda seeds: modes.append(learner.policy.training) or rollout(seeds))
    learner.update()
    assert modes == [True]
    assert not learner.policy.training


def test_global_random_streams_do_not_matter_and_are_left_alone():
    before = torch.random.get_rng_state()
    first = run_updates(make_reinforce(), 2)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        second = run_updates(make_reinforce(), 2)
    assert_same_weights(first.policy.state_dict(), second.policy.state_dict())


# ------------------------------------------------------------------------------------------- episode seeds


def test_episode_seeds_count_upward_and_repeat_for_copies():
    learner = make_reinforce(batch_size=6, copies_per_image=3, seed=0)
    assert learner._episode_seeds(copies=3).tolist() == [0, 0, 0, 1, 1, 1]
    learner.num_updates_done = 5
    assert learner._episode_seeds(copies=3).tolist() == [10, 10, 10, 11, 11, 11]


def test_runs_of_different_seeds_share_no_episode_and_none_with_evaluation():
    learners = [make_reinforce(seed=seed, num_episodes=2**40, batch_size=8) for seed in (0, 1, MAX_SEEDS - 1)]
    ranges = []
    for learner in learners:
        first = int(learner._episode_seeds()[0])
        learner.num_updates_done = learner.config.num_updates - 1
        ranges.append((first, int(learner._episode_seeds()[-1])))
    assert ranges[0][1] < ranges[1][0] < ranges[1][1] < ranges[2][0] < ranges[2][1] < 2**63


# ---------------------------------------------------------------------------------------------- optimizers


def test_muon_optimizes_the_matrices_between_layers_and_adam_the_rest():
    images = {"images": np.zeros((20, 16, 16), np.uint8), "labels": [0, 1] * 10}
    config = ReinforceConfig(num_episodes=16, batch_size=8, optimizer="muon")
    learner = make_learner(IMAGES, images, config, RAMConfig())
    names = {weight: name for name, weight in learner.policy.named_parameters()}
    muon, adam = ({names[w] for group in o.param_groups for w in group["params"]} for o in learner.optimizers)
    assert type(learner.optimizers[0]) is Muon
    assert muon == {
        "glimpse_network.what.first.weight",
        "glimpse_network.what.second.weight",
        "glimpse_network.what.linear.weight",
        "glimpse_network.what_out.weight",
        "glimpse_network.where_out.weight",
        "core_network.cell.weight_ih",
        "core_network.cell.weight_hh",
    }
    assert muon | adam == set(names.values())
    assert not muon & adam
    assert {"glimpse_network.where.weight", "location_network.mean.weight", "choice_network.logits.weight"} < adam


def test_sgd_steps_along_the_mean_gradient_with_momentum():
    images = {"images": np.zeros((20, 16, 16), np.uint8), "labels": [0, 1] * 10}
    config = ReinforceConfig(num_episodes=16, batch_size=8, optimizer="sgd", learning_rate=0.5, warmup_updates=0)
    learner = make_learner(IMAGES, images, config, RAMConfig())
    (optimizer,) = learner.optimizers
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(learner.policy.parameters()))
    bias, before = learner.policy.choice_network.logits.bias, []
    for _ in range(3):
        before.append(bias.detach().clone())
        learner._optimizer_step(bias.sum() * 0.01)
    first, second = (new - old for old, new in itertools.pairwise(before))
    np.testing.assert_allclose(first, -0.5 * 0.01, rtol=1e-5)
    np.testing.assert_allclose(second, -0.5 * 0.019, rtol=1e-5)  # 0.01 + 0.9 * 0.01


def test_adam_alone_optimizes_everything():
    learner = make_reinforce(optimizer="adam")
    (adam,) = learner.optimizers
    assert type(adam) is torch.optim.Adam
    assert sum(len(group["params"]) for group in adam.param_groups) == len(list(learner.policy.parameters()))


# ------------------------------------------------------------------------------------------------ denormals


def half_of_the_smallest_normal_number():
    return float(torch.tensor(torch.finfo(torch.float32).tiny) * 0.5)


def test_optimizer_averages_of_a_dead_unit_become_zero_and_not_denormal():
    learner = make_reinforce(batch_size=20, num_episodes=1000)
    learner.update()
    bias = learner.policy.glimpse_network.where.bias
    (adam,) = (optimizer for optimizer in learner.optimizers if bias in optimizer.state)
    adam.state[bias]["exp_avg"].fill_(2 * torch.finfo(torch.float32).tiny)
    bias.register_hook(torch.zeros_like)
    run_updates(learner, 20)
    assert not adam.state[bias]["exp_avg"].any()
    assert half_of_the_smallest_normal_number() > 0.0  # denormals are flushed during updates only


def test_flushing_of_denormals_stays_on_if_it_was_on():
    torch.set_flush_denormal(True)
    try:
        make_reinforce().update()
        assert half_of_the_smallest_normal_number() == 0.0
    finally:
        torch.set_flush_denormal(False)


# ------------------------------------------------------------------------------------------------ precision


@pytest.mark.parametrize("core", ["relu", "gru", "lstm"])
@pytest.mark.parametrize("name", ["reinforce", "ppo", "supervised"])
def test_bfloat16_changes_losses_by_rounding_and_keeps_weights_in_float32(name, core):
    losses = {}
    for precision in ("float32", "bfloat16"):
        env_id, env_kwargs, policy_config = IMAGES, noise_images(), RAMConfig(**SMALL_RAM, core=core)
        config = ReinforceConfig(**TRAINING, precision=precision)
        if name == "ppo":
            config = PPOConfig(**TRAINING, minibatch_size=4, precision=precision)
            env_id, env_kwargs = CATCH, CATCH_KWARGS
        elif name == "supervised":
            config, policy_config = SupervisedConfig(**TRAINING, precision=precision), CLASSIFIER
            env_kwargs = noise_images(**whole_image(16))
        learner = make_learner(env_id, env_kwargs, config, policy_config)
        losses[precision] = learner.update()[0]["total"]
        assert {weight.dtype for weight in learner.policy.parameters()} == {torch.float32}
        assert all(weight.isfinite().all() for weight in learner.policy.parameters())
    if name == "ppo":
        rollout = learner.rollout()
        assert {rollout.values.dtype, learner.advantages(rollout).dtype} == {torch.float32}
    assert losses["float32"] != losses["bfloat16"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02, abs=2e-3)


# ----------------------------------------------------------------------------------------------- mismatches


@pytest.mark.parametrize(
    ("env_id", "config", "policy_config", "message"),
    [
        (IMAGES, ReinforceConfig(**TRAINING), CLASSIFIER, "Reinforce trains a RAM, got a Classifier"),
        (IMAGES, SupervisedConfig(**TRAINING), RAM, "Supervised trains a Classifier, got a RAM"),
        (IMAGES, PPO_CONFIG, CLASSIFIER, "PPO trains a RecurrentPolicy, got a Classifier"),
        (CATCH, PPO_CONFIG, ScriptedConfig(), "PPO trains a RecurrentPolicy, got a ScriptedPlayer"),
        (CATCH, PPO_CONFIG, CLASSIFIER, "PPO trains a RecurrentPolicy, got a Classifier"),
        (CATCH, ReinforceConfig(**TRAINING), RAM, f"Reinforce learns from labels, and {CATCH} has none: use .*ppo"),
        (CATCH, SupervisedConfig(**TRAINING), CLASSIFIER, f"Supervised learns from labels, and {CATCH} has none"),
        (IMAGES, PPO_CONFIG, ScriptedConfig(), "scripted players play Catch"),
    ],
)
def test_algorithms_refuse_policies_and_tasks_that_do_not_fit(env_id, config, policy_config, message):
    env_kwargs = CATCH_KWARGS if env_id == CATCH else noise_images()
    with pytest.raises(ValueError, match=f"^{message}"):
        make_learner(env_id, env_kwargs, config, policy_config)


@pytest.mark.parametrize("name", ["split", "num_envs", "autoreset_mode", "render_mode"])
def test_env_kwargs_that_training_sets_are_refused(name):
    with pytest.raises(ValueError, match=rf"\['{name}'\] cannot be given as env keyword arguments"):
        make_reinforce(noise_images(**{name: None}))


@pytest.mark.parametrize("kwargs", [{"actions": "discrete"}, {"actions": "continuous"}, {"observations": "flat"}])
def test_training_needs_hybrid_actions_and_dict_observations(kwargs):
    with pytest.raises(ValueError, match=r"acts? in envs with hybrid actions"):
        make_reinforce(noise_images(**kwargs))


def test_envs_of_other_packages_are_refused():
    with pytest.raises(ValueError, match="CartPole-v1 is not a glimpse_gym env"):
        make_learner("CartPole-v1", {}, PPO_CONFIG, RAM)
    with pytest.raises(gym.error.Error):
        make_learner("glimpse_gym/Nothing-v0", {}, PPO_CONFIG, RAM)


# --------------------------------------------------------------------------------- Gymnasium's interface only


def make_scripted(player, env_kwargs):
    return ScriptedPlayer(TaskSpec.from_env(make_envs(CATCH, 1, **env_kwargs)), ScriptedConfig(player))


def striped(**changes):
    images, labels = stripe_images(60)
    return {"images": images, "labels": labels, **whole_image(12)} | changes


@pytest.fixture
def without_world(monkeypatch):
    """Training and evaluation get vector envs whose ``unwrapped`` raises."""
    for module in (learner_module, evaluation):
        make_envs = module.make_envs
        monkeypatch.setattr(module, "make_envs", lambda *args, make_envs=make_envs: NoWorld(make_envs(*args)))


@pytest.mark.parametrize(
    ("env_id", "env_kwargs", "config", "policy_config"),
    [
        (IMAGES, noise_images(), ReinforceConfig(**TRAINING, copies_per_image=2), RAM),  # with pathwise gradient
        (IMAGES, striped(), SupervisedConfig(**TRAINING), CLASSIFIER),
        (IMAGES, square_images(), PPO_CONFIG, RAM),
        (CATCH, CATCH_KWARGS, PPO_CONFIG, RAM),
    ],
    ids=["reinforce", "supervised", "ppo-classification", "ppo-catch"],
)
def test_training_and_evaluation_use_the_interface_of_gymnasium_only(
    without_world, env_id, env_kwargs, config, policy_config
):
    learner = make_learner(env_id, env_kwargs, config, policy_config)
    assert isinstance(learner.envs.env, NoWorld)
    before = copy_state(learner.policy)
    run_updates(learner)
    assert not any(torch.equal(before[name], weight) for name, weight in learner.policy.state_dict().items())
    for locations in evaluation.LOCATIONS:
        score = evaluate(learner.policy, env_id, env_kwargs, EvalConditions("test", locations), num_episodes=30)
        assert all(0 <= error <= 1 for error in score.errors)


def test_the_oracle_alone_needs_the_world(without_world):
    for player, env_kwargs in (("random", {}), ("chaser", {"observe": "screen"})):
        policy = make_scripted(player, env_kwargs)
        assert evaluate(policy, CATCH, env_kwargs, EvalConditions(), num_episodes=30).num_episodes == 30
    with pytest.raises(AssertionError, match="reached behind the env's interface"):
        evaluate(make_scripted("oracle", {}), CATCH, {}, EvalConditions(), num_episodes=30)
