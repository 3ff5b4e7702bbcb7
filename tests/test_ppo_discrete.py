"""PPO with discrete actions: episodes that end early, masks, learning and resuming.

B episodes of at most T steps.
"""

import gymnasium as gym
import numpy as np
import pytest
import torch

import oracles
from glimpse_gym.agents.checkpoint import load_agent
from glimpse_gym.agents.configs import DiscreteRAMConfig, PPOConfig
from glimpse_gym.agents.evaluation import EvalConditions, evaluate, play_to_the_end
from glimpse_gym.agents.networks import CORES
from glimpse_gym.agents.ppo import PPO, pack
from glimpse_gym.agents.registry import default_configs
from glimpse_gym.agents.trainer import Trainer
from runs import CATCH, IMAGES, SMALL_RAM, assert_same_weights, noise_file, noise_images, run_updates, square_images
from runs import stop_after as stop_trainer_after

T, B = 4, 24
DISCRETE = {"actions": "discrete", "grid_size": 3}
TASKS = {
    "classification": (IMAGES, noise_images(num_glimpses=T, **DISCRETE)),
    "catch": (CATCH, DISCRETE | {"num_glimpses": T, "patch_size": 3, "num_scales": 2}),
}
each_task = pytest.mark.parametrize("task", TASKS)
TRAINING = {"num_episodes": 10 * B, "batch_size": B, "minibatch_size": 8, "learning_rate": 0.01}


def make_ppo(task="classification", training=None, env_kwargs=None, **policy):
    env_id, default_kwargs = TASKS[task]
    config, policy_config = PPOConfig(**TRAINING | (training or {})), DiscreteRAMConfig(**SMALL_RAM | policy)
    return PPO(env_id, env_kwargs or default_kwargs, config, policy_config)


def lengths_of(rollout):
    return rollout.active.sum(0)


def random_parts(rollout, seed=0):
    """Random advantages and returns."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rollout.active.shape, generator=generator) for _ in range(2)]


# ------------------------------------------------------------------------------------------------- rollout


@each_task
def test_rollout_records_the_episodes_of_single_envs(task):
    learner = make_ppo(task)
    rollout = learner.rollout()
    env_id, kwargs = TASKS[task]
    lengths = lengths_of(rollout)
    assert (lengths == T).all() if task == "catch" else len(set(lengths.tolist())) == T
    split = {"split": "train"} if task == "classification" else {}
    for b in range(0, B, 8):
        env = gym.make(env_id, **kwargs, **split)
        observation, _ = env.reset(seed=b)
        for t in range(int(lengths[b])):
            assert rollout.active[t, b]
            oracles.assert_identical(observation["glimpse"], rollout.glimpses[t, b].numpy())
            oracles.assert_identical(observation["location"], rollout.locations[t, b].numpy())
            masks = env.unwrapped.action_masks()
            assert masks.all() if rollout.masks is None else (masks == rollout.masks[t, b].numpy()).all()
            (actions,) = rollout.samples
            assert masks[actions[t, b]]
            observation, reward, terminated, _, info = env.step(int(actions[t, b]))
            assert (reward, info["success"]) == (rollout.rewards[t, b], rollout.successes[t, b])
            assert terminated == rollout.is_last_step[t, b] == (t == lengths[b] - 1)
    after = ~rollout.active
    assert not any(part[after].any() for part in (rollout.rewards, rollout.values, rollout.successes))
    assert not rollout.is_last_step[after].any()
    assert rollout.rewards.any()


def test_only_steps_inside_episodes_are_counted():
    learner = make_ppo()
    rollouts, rollout = [], learner.rollout
    learner.rollout = lambda: rollouts.append(rollout()) or rollouts[-1]
    run_updates(learner, 3)
    assert learner.num_steps_done == sum(int(lengths_of(part).sum()) for part in rollouts) < 3 * B * T


def test_run_ends_after_a_number_of_steps():
    learner = make_ppo(training={"num_episodes": 100 * B, "num_steps": 5 * B})
    learning_rates = []
    while not learner.done:
        learner.update()
        learning_rates.append(learner.optimizers[0].param_groups[0]["lr"])
        assert learner.progress == pytest.approx(learner.num_steps_done / (5 * B))
    assert learner.num_steps_done >= 5 * B > learner.num_steps_done - B * T
    assert learning_rates == sorted(learning_rates, reverse=True)
    assert learning_rates[-1] < 0.5 * learning_rates[0]


def test_error_is_the_fraction_of_episodes_without_success_at_their_end():
    learner = make_ppo()
    rollouts, rollout = [], learner.rollout
    learner.rollout = lambda: rollouts.append(rollout()) or rollouts[-1]
    _, error = learner.update()
    (rollout,) = rollouts
    last_rewards = [rollout.rewards[length - 1, b].item() for b, length in enumerate(lengths_of(rollout).tolist())]
    assert error == pytest.approx(1 - np.mean(last_rewards))
    assert 0 < error < 1


# ---------------------------------------------------------------------------------------- advantages and loss


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.99, 0.95), (1.0, 1.0), (0.5, 0.0)])
def test_advantages_end_with_the_episode(gamma, gae_lambda):
    learner = make_ppo(training={"gamma": gamma, "gae_lambda": gae_lambda})
    rollout = learner.rollout()
    found = learner.advantages(rollout)
    for b, length in enumerate(lengths_of(rollout).tolist()):
        values = [*rollout.values[:length, b].tolist(), 0.0]
        for t in range(T):
            expected = sum(
                (gamma * gae_lambda) ** (later - t)
                * (rollout.rewards[later, b].item() + gamma * values[later + 1] - values[later])
                for later in range(t, length)
            )
            assert found[t, b].item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_pack_keeps_every_step_of_the_selected_episodes_and_no_other():
    learner = make_ppo()
    rollout = learner.rollout()
    advantages, returns = random_parts(rollout)
    index = torch.tensor([3, 17, 4, 11, 0])
    steps = pack(rollout, advantages, returns, index)
    lengths = lengths_of(rollout)[index]
    assert sum(steps.batch_sizes) == int(lengths.sum()) == len(steps.advantages)
    assert steps.batch_sizes == [int((lengths > t).sum()) for t in range(int(lengths.max()))]
    expected = sorted(advantages[t, b].item() for b in index.tolist() for t in range(T) if rollout.active[t, b])
    assert sorted(steps.advantages.tolist()) == expected
    order = index[lengths.argsort(descending=True, stable=True)]  # the longest episode first
    row = 0
    for t, number in enumerate(steps.batch_sizes):
        for b in order[:number].tolist():
            assert (steps.advantages[row], steps.returns[row]) == (advantages[t, b], returns[t, b])
            assert torch.equal(steps.glimpses[row], rollout.glimpses[t, b])
            assert torch.equal(steps.masks[row], rollout.masks[t, b])
            assert steps.samples[0][row] == rollout.samples[0][t, b]
            assert steps.is_last_step[row] == rollout.is_last_step[t, b]
            row += 1


@each_task
@pytest.mark.parametrize("core", CORES)
def test_ratio_is_one_before_the_first_optimizer_step(task, core):
    learner = make_ppo(task, core=core)
    rollout = learner.rollout()
    advantages, returns = random_parts(rollout)
    steps = pack(rollout, advantages, returns, torch.randperm(B, generator=torch.Generator().manual_seed(0)))
    output = learner.policy.unroll(steps.glimpses, steps.locations, steps.batch_sizes, steps.masks)
    log_probs = learner.policy.log_prob(output, steps.samples, steps.is_last_step)
    torch.testing.assert_close(log_probs, steps.log_probs, rtol=1e-5, atol=1e-5)
    expected = -advantages[rollout.active].mean()
    torch.testing.assert_close(learner.loss(steps)["policy"], expected, rtol=1e-4, atol=1e-5)


def gradient(learner, rollout, advantages, returns):
    learner.policy.zero_grad()
    learner.loss(pack(rollout, advantages, returns, torch.arange(B)))["total"].backward()
    return torch.cat([weight.grad.flatten() for weight in learner.policy.parameters()])


def test_steps_after_the_end_of_an_episode_give_no_gradient():
    learner = make_ppo()
    rollout = learner.rollout()
    advantages, returns = random_parts(rollout)
    expected = gradient(learner, rollout, advantages, returns)
    after = ~rollout.active

    def changed(part, value):
        part = part.clone()
        part[after] = value
        return part

    other = rollout._replace(
        glimpses=changed(rollout.glimpses, 9.0),
        locations=changed(rollout.locations, -3.0),
        samples=(changed(rollout.samples[0], 12),),
        log_probs=changed(rollout.log_probs, 5.0),
    )
    assert torch.equal(gradient(learner, other, changed(advantages, 7.0), changed(returns, -7.0)), expected)
    inside = rollout._replace(log_probs=rollout.log_probs - 0.1)
    assert not torch.equal(gradient(learner, inside, advantages, returns), expected)


def test_advantages_are_normalized_over_the_steps_inside_episodes(monkeypatch):
    learner = make_ppo(training={"num_epochs": 1, "minibatch_size": B})
    seen, loss = [], learner.loss
    monkeypatch.setattr(learner, "loss", lambda steps: seen.append(steps) or loss(steps))
    learner.update()
    (steps,) = seen
    assert len(steps.advantages) == learner.num_steps_done < B * T
    assert steps.advantages.mean().item() == pytest.approx(0, abs=1e-6)
    assert steps.advantages.std().item() == pytest.approx(1, rel=1e-4)


# ------------------------------------------------------------------------------------------------- learning


@each_task
def test_same_seed_is_bit_equal_and_another_seed_is_not(task):
    def weights(seed):
        return run_updates(make_ppo(task, training={"seed": seed}), 4).policy.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert_same_weights(first, again)
    assert not any(torch.equal(first[name], other[name]) for name in first)


SIZES = {"glimpse_units": 32, "location_units": 16, "glimpse_features": 32, "hidden_units": 32, "core": "gru"}


def test_learns_to_look_before_it_answers():
    env_kwargs = square_images(num_glimpses=3, first_glimpse="center", **DISCRETE)
    training = {"num_episodes": 60 * 128, "batch_size": 128, "minibatch_size": 32, "learning_rate": 8e-3, "gamma": 1.0}
    learner = run_updates(make_ppo("classification", training, env_kwargs, **SIZES, initial_sigma=1.0))
    outcomes = play_to_the_end(learner.policy, IMAGES, env_kwargs, EvalConditions("test"))
    assert outcomes.success.mean() > 0.92
    assert outcomes.num_glimpses.mean() > 1.2  # the first glimpse, at the center, often shows nothing


def test_learns_to_answer_early_if_glimpses_cost():
    env_kwargs = square_images(num_glimpses=3, first_glimpse="center", glimpse_cost=0.6, **DISCRETE)
    training = {"num_episodes": 40 * 128, "batch_size": 128, "minibatch_size": 32, "learning_rate": 8e-3}
    learner = run_updates(make_ppo("classification", training, env_kwargs, **SIZES, initial_sigma=1.0))
    outcomes = play_to_the_end(learner.policy, IMAGES, env_kwargs, EvalConditions("test"))
    assert outcomes.num_glimpses.mean() < 1.05


# ------------------------------------------------------------------------------------------------- training runs


def make_trainer(folder, data_folder, resume=False):
    env_kwargs = noise_file(data_folder)
    config = PPOConfig(
        num_episodes=10**6, num_steps=400, batch_size=16, minibatch_size=8, num_evaluations=4, validation_episodes=20
    )
    policy = DiscreteRAMConfig(**SMALL_RAM)
    return Trainer(folder, "glimpse_gym/ImagesDiscrete-v0", env_kwargs, config, policy, resume=resume)


def test_a_resumed_run_is_bit_equal_and_its_agent_is_loaded(tmp_path):
    whole = make_trainer(tmp_path / "whole", tmp_path)
    assert whole.train(progress=False)
    assert len(whole.history) == 4
    first = make_trainer(tmp_path / "parts", tmp_path)
    stop_trainer_after(first, 3)
    assert not first.train(progress=False)
    second = make_trainer(tmp_path / "parts", tmp_path, resume=True)
    assert second.learner.num_steps_done == first.learner.num_steps_done > 0
    assert second.train(progress=False)
    assert_same_weights(whole.policy.state_dict(), second.policy.state_dict())
    errors = [[record["validation_error"] for record in trainer.history] for trainer in (whole, second)]
    assert errors[0] == errors[1]
    agent, metadata = load_agent(tmp_path / "parts", trusted=True)
    score = evaluate(agent, metadata.env_id, metadata.env_kwargs, EvalConditions(), num_episodes=20)
    assert score.errors == [errors[0][-1]]


def test_discrete_envs_are_trained_in_by_default():
    for env_id in ("glimpse_gym/MNISTDiscrete-v0", "glimpse_gym/CatchDiscrete-v0"):
        config, policy_config = default_configs(env_id)
        assert (type(config), type(policy_config)) == (PPOConfig, DiscreteRAMConfig)
