"""PPO: rollouts, advantages, losses and learning, in Catch (a choice at every step) and in classification (one label).

B episodes of T steps.
"""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch

import oracles
from glimpse_gym.agents.configs import PPOConfig, RAMConfig
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.networks import CORES
from glimpse_gym.agents.ppo import PPO, Rollout, pack
from runs import CATCH, IMAGES, SMALL_RAM, assert_same_weights, copy_state, noise_images, run_updates, square_images

T, B = 3, 24
CATCH_KWARGS = {"num_glimpses": T, "patch_size": 3, "num_scales": 2}
TRAINING = {"num_episodes": 10 * B, "batch_size": B, "minibatch_size": 8, "learning_rate": 0.01}
NETWORKS = ("glimpse_network", "core_network", "location_network", "choice_network", "baseline")
TASKS = {"catch": (CATCH, CATCH_KWARGS), "classification": (IMAGES, noise_images(num_glimpses=T))}
each_task = pytest.mark.parametrize("task", TASKS)


def make_ppo(task="catch", training=None, env_kwargs=None, **policy):
    env_id, default_kwargs = TASKS[task]
    config = PPOConfig(**TRAINING | (training or {}))
    policy_config = RAMConfig(**SMALL_RAM | {"core": "lstm"} | policy)
    return PPO(env_id, default_kwargs if env_kwargs is None else env_kwargs, config, policy_config)


def perturb(module, amount=0.3, seed=0):
    """Change the weights, so that recorded actions become less or more likely."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight += amount * torch.randn(weight.shape, generator=generator)


def random_advantages(seed=1):
    return torch.randn(T, B, generator=torch.Generator().manual_seed(seed))


def unroll(policy, rollout):
    """Output of the networks over a rollout of T steps in every episode, each part (T, B, ...)."""
    output = policy.unroll(rollout.glimpses.flatten(0, 1), rollout.locations.flatten(0, 1), [B] * T)
    return type(output)(*(part.unflatten(0, (T, B)) for part in output))


def loss(learner, rollout, advantages, returns, index=None):
    """Losses of some episodes, or of all."""
    index = torch.arange(rollout.active.shape[1]) if index is None else index
    return learner.loss(pack(rollout, advantages, returns, index))


def log_probs_by_loops(learner, rollout):
    """Log-probability of every recorded action under the current weights, up to a constant, float64 (T, B)."""
    policy, result = learner.policy, np.zeros((T, B))
    is_classification = policy.task_spec.choice_is_final
    with torch.no_grad():
        outputs = unroll(policy, rollout)
    choices, locations = rollout.samples
    for t in range(T):
        for b in range(B):
            distance = (locations[t, b] - outputs.location_mean[t, b]).double().square().sum().item()
            location = -distance / (2 * policy.config.sigma**2)
            choice = math.log(probabilities(outputs.logits[t, b])[choices[t, b]])
            if is_classification:  # the label acts at the last step only, the location at all others
                result[t, b] = choice if t == T - 1 else location
            else:
                result[t, b] = choice + location
    return result


def probabilities(logits):
    exponentials = np.exp(logits.double().numpy())
    return exponentials / exponentials.sum()


# ------------------------------------------------------------------------------------------------- rollout


@each_task
def test_rollout_records_the_episodes_of_single_envs(task):
    learner = make_ppo(task, sigma=0.6)
    rollout = learner.rollout()
    env_id, kwargs = TASKS[task]
    assert rollout.glimpses.shape == (T, B, *learner.policy.task_spec.glimpse_shape)
    choices, sampled_locations = rollout.samples
    assert rollout.locations.shape == sampled_locations.shape == (T, B, 2)
    per_step = (choices, rollout.log_probs, rollout.values, rollout.rewards, rollout.successes, rollout.active)
    assert {tuple(part.shape) for part in per_step} == {(T, B)}
    assert sampled_locations.abs().max() > 1  # before clipping
    assert rollout.active.all()
    assert rollout.masks is None
    split = {"split": "train"} if task == "classification" else {}
    for b in (0, 7, B - 1):
        env = gym.make(env_id, **kwargs, **split)
        observation, _ = env.reset(seed=b)
        for t in range(T):
            oracles.assert_identical(observation["glimpse"], rollout.glimpses[t, b].numpy())
            oracles.assert_identical(observation["location"], rollout.locations[t, b].numpy())
            name = learner.policy.task_spec.choice_name
            action = {name: int(choices[t, b]), "next_location": sampled_locations[t, b].numpy()}
            observation, reward, terminated, _, info = env.step(action)
            assert reward == rollout.rewards[t, b]
            assert info["success"] == rollout.successes[t, b]
            assert terminated == rollout.is_last_step[t, b] == (t == T - 1)
    assert 0 < rollout.rewards.sum() < B
    assert not any(part.requires_grad for part in (*rollout.samples, rollout.log_probs, rollout.values))


@each_task
def test_choices_are_sampled_by_their_probabilities(task):
    learner = make_ppo(task, training={"batch_size": 3000, "minibatch_size": 3000})
    expected = (0.2, 0.5, 0.3) if task == "catch" else (0.2, 0.5, 0.2, 0.1)
    with torch.no_grad():
        learner.policy.choice_network.logits.weight.zero_()
        learner.policy.choice_network.logits.bias.copy_(torch.tensor(expected).log())
    choices = learner.rollout().samples[0]
    for choice, probability in enumerate(expected):
        oracles.assert_binomial(int((choices == choice).sum()), 3000 * T, probability)


def test_log_probs_in_catch_are_categorical_and_gaussian():
    learner = make_ppo(sigma=0.3)
    rollout = learner.rollout()
    with torch.no_grad():
        outputs = unroll(learner.policy, rollout)
        choice = torch.distributions.Categorical(logits=outputs.logits).log_prob(rollout.samples[0])
        location = torch.distributions.Normal(outputs.location_mean, 0.3).log_prob(rollout.samples[1]).sum(-1)
    constant = -2 * math.log(0.3 * math.sqrt(2 * math.pi))  # the same for every action, so it cancels in ratios
    torch.testing.assert_close(rollout.log_probs, choice + location - constant, rtol=1e-4, atol=1e-4)


@each_task
def test_log_probs_against_plain_loops(task):
    learner = make_ppo(task, sigma=0.3)
    rollout = learner.rollout()
    np.testing.assert_allclose(rollout.log_probs, log_probs_by_loops(learner, rollout), rtol=1e-4, atol=1e-4)


@each_task
@pytest.mark.parametrize("core", CORES)
def test_unroll_gives_the_log_probs_and_values_of_the_rollout(task, core):
    learner = make_ppo(task, core=core, scale_gain=4.0)
    rollout = learner.rollout()
    outputs = unroll(learner.policy, rollout)
    again = learner.policy.log_prob(outputs, rollout.samples, rollout.is_last_step)
    torch.testing.assert_close(again, rollout.log_probs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(learner.policy.baseline(outputs.hidden), rollout.values, rtol=1e-5, atol=1e-5)


def test_pack_some_of_the_episodes():
    rollout, index = make_ppo().rollout(), torch.tensor([5, 0, 5])
    advantages, returns = random_advantages(), random_advantages(seed=2)
    steps = pack(rollout, advantages, returns, index)
    assert steps.batch_sizes == [3] * T
    wholes = (rollout.glimpses, rollout.locations, *rollout.samples, rollout.log_probs, advantages, returns)
    parts = (steps.glimpses, steps.locations, *steps.samples, steps.log_probs, steps.advantages, steps.returns)
    for part, whole in zip(parts, wholes, strict=True):
        assert torch.equal(part.unflatten(0, (T, 3)), whole[:, index])
    assert steps.is_last_step.tolist() == [False] * 3 * (T - 1) + [True] * 3


# ---------------------------------------------------------------------------------------------- advantages


def rollout_of(rewards, values):
    """Rollout with nothing but rewards and values."""
    empty = torch.zeros(0)
    return Rollout(empty, empty, None, (), empty, torch.tensor(values), torch.tensor(rewards), empty, empty)


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.99, 0.95), (1.0, 1.0), (0.5, 0.25), (0.9, 0.0), (0.0, 0.7)])
def test_advantages_against_a_slow_double_loop(gamma, gae_lambda):
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    expected = np.zeros((5, 4))
    for b in range(4):
        for t in range(5):
            for later in range(t, 5):
                next_value = values[later + 1, b] if later < 4 else 0.0
                td_error = rewards[later, b] + gamma * next_value - values[later, b]
                expected[t, b] += (gamma * gae_lambda) ** (later - t) * td_error
    learner = make_ppo(training={"gamma": gamma, "gae_lambda": gae_lambda})
    found = learner.advantages(rollout_of(rewards.tolist(), values.tolist()))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_advantages_by_hand():
    rollout = rollout_of([[0.0], [0.0], [1.0]], [[0.5], [0.25], [0.75]])
    # With lambda 1 the final reward minus the value; with lambda 0 the change of the value at the next step.
    monte_carlo = make_ppo(training={"gamma": 1.0, "gae_lambda": 1.0}).advantages(rollout)
    one_step = make_ppo(training={"gamma": 1.0, "gae_lambda": 0.0}).advantages(rollout)
    assert monte_carlo.T.tolist() == [[0.5, 0.75, 0.25]]
    assert one_step.T.tolist() == [[-0.25, 0.5, 0.25]]


# ---------------------------------------------------------------------------------------------------- loss


@each_task
@pytest.mark.parametrize("core", CORES)
def test_ratio_is_one_before_the_first_optimizer_step(task, core):
    learner = make_ppo(task, core=core)
    rollout, advantages = learner.rollout(), random_advantages()
    losses = loss(learner, rollout, advantages, advantages + rollout.values)
    # With all ratios 1 the policy loss is minus the mean advantage, for each episode alone too.
    torch.testing.assert_close(losses["policy"], -advantages.mean(), rtol=1e-5, atol=1e-5)
    for b in range(0, B, 5):
        one = loss(learner, rollout, advantages, torch.zeros(T, B), torch.tensor([b]))
        torch.testing.assert_close(one["policy"], -advantages[:, b].mean(), rtol=1e-5, atol=1e-5)


@each_task
def test_loss_against_plain_loops(task):
    learner = make_ppo(task, training={"clip_coef": 0.15, "ent_coef": 0.03, "vf_coef": 0.7})
    rollout, advantages, returns = learner.rollout(), random_advantages(), random_advantages(seed=2)
    perturb(learner.policy)
    learner.num_updates_done = 4  # of ten: six tenths of the entropy's coefficient are left
    with torch.no_grad():
        outputs = unroll(learner.policy, rollout)
        values = learner.policy.baseline(outputs.hidden)
    ratios = np.exp(log_probs_by_loops(learner, rollout) - rollout.log_probs.double().numpy())
    policy_loss = value_loss = 0.0
    num_clipped = 0
    for t in range(T):
        for b in range(B):
            ratio, advantage = ratios[t, b], advantages[t, b].item()
            clipped = min(max(ratio, 0.85), 1.15)
            num_clipped += clipped * advantage < ratio * advantage
            policy_loss -= min(ratio * advantage, clipped * advantage) / (T * B)
            value_loss += (values[t, b] - returns[t, b]).item() ** 2 / (T * B)
    steps = [T - 1] if task == "classification" else list(range(T))  # at which the choice acts
    entropies = [-(p * np.log(p)).sum() for t in steps for p in map(probabilities, outputs.logits[t])]
    assert 5 < num_clipped < T * B - 5
    losses = loss(learner, rollout, advantages, returns)
    expected = {"policy": policy_loss, "baseline": value_loss, "entropy": np.mean(entropies)}
    expected["total"] = policy_loss + 0.7 * value_loss - 0.6 * 0.03 * expected["entropy"]
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-3)


def choice_gradient(learner, rollout, advantages):
    learner.policy.zero_grad()
    loss(learner, rollout, advantages, rollout.values)["total"].backward()
    return learner.policy.choice_network.logits.weight.grad


@each_task
def test_actions_beyond_the_clipping_range_give_no_gradient(task):
    learner = make_ppo(task, training={"ent_coef": 0.0, "vf_coef": 0.0})
    rollout = learner.rollout()
    likelier = rollout._replace(log_probs=rollout.log_probs - 1)  # now likelier than when sampled, by a factor of e
    rarer = rollout._replace(log_probs=rollout.log_probs + 1)
    good, bad = torch.ones(T, B), -torch.ones(T, B)
    assert not choice_gradient(learner, likelier, good).any()
    assert not choice_gradient(learner, rarer, bad).any()
    for changed, advantages in ((likelier, bad), (rarer, good), (rollout, good), (rollout, bad)):
        assert choice_gradient(learner, changed, advantages).any()


def test_actions_without_effect_in_classification_do_not_change_the_policy_loss():
    learner = make_ppo("classification")
    rollout, advantages = learner.rollout(), random_advantages()
    perturb(learner.policy)
    choices, samples = (part.clone() for part in rollout.samples)
    choices[:-1] = (choices[:-1] + 1) % 4  # labels before the last step
    samples[-1] += 0.5  # the location after the last glimpse
    other = rollout._replace(samples=(choices, samples))
    losses, others = (loss(learner, part, advantages, rollout.values) for part in (rollout, other))
    assert torch.equal(losses["total"], others["total"])


def networks_with_location_gradient(learner, rollout):
    """Names of the networks that the log-probabilities of the locations send a gradient to."""
    policy = learner.policy
    outputs = unroll(policy, rollout)
    policy.zero_grad(set_to_none=True)
    policy.location_log_prob(rollout.samples[1], outputs.location_mean).sum().backward()
    return {
        name
        for name in NETWORKS
        if any(w.grad is not None and w.grad.any() for w in getattr(policy, name).parameters())
    }


@pytest.mark.parametrize("detach", [True, False])
def test_detach_location_network_stops_the_gradient_of_the_locations_into_the_core(detach):
    learner = make_ppo(detach_location_network=detach)
    expected = {"location_network"} if detach else {"location_network", "core_network", "glimpse_network"}
    assert networks_with_location_gradient(learner, learner.rollout()) == expected


def test_with_random_locations_only_the_moves_are_learned():
    learner = make_ppo(location_policy="random")
    rollout, advantages = learner.rollout(), random_advantages()
    sampled_locations = rollout.samples[1]
    assert sampled_locations.abs().max() <= 1
    columns = ((sampled_locations[..., 0].flatten() + 1) * 2).long()
    assert abs(oracles.chi_square(np.bincount(columns, minlength=4))) < 5
    perturb(learner.policy.location_network)  # chose nothing, so no action became likelier
    losses = loss(learner, rollout, advantages, rollout.values)
    torch.testing.assert_close(losses["policy"], -advantages.mean(), rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------------------------- updates


def test_every_epoch_trains_on_every_episode_once_in_a_new_order(monkeypatch):
    learner = make_ppo(training={"num_epochs": 2})
    rollouts, seen = [], []
    rollout_, loss_ = learner.rollout, learner.loss
    monkeypatch.setattr(learner, "rollout", lambda: rollouts.append(rollout_()) or rollouts[-1])
    monkeypatch.setattr(learner, "loss", lambda steps: seen.append(steps) or loss_(steps))
    _, error = learner.update()
    (rollout,) = rollouts
    assert error == pytest.approx(1 - rollout.rewards[-1].mean().item())
    assert [steps.batch_sizes for steps in seen] == [[8] * T] * 6
    advantages = learner.advantages(rollout)
    returns = advantages + rollout.values
    advantages = (advantages - advantages.mean()) / advantages.std()
    orders = []
    for epoch in (seen[:3], seen[3:]):
        order = []
        for steps in epoch:
            for i in range(8):
                (b,) = [b for b in range(B) if torch.equal(steps.samples[1][i::8], rollout.samples[1][:, b])]
                torch.testing.assert_close(steps.advantages[i::8], advantages[:, b])
                torch.testing.assert_close(steps.returns[i::8], returns[:, b])
                order.append(b)
        assert sorted(order) == list(range(B))
        orders.append(order)
    assert orders[0] != orders[1]
    assert learner.num_updates_done == 1


def test_training_error_counts_episodes_without_success_whatever_the_rewards():
    learner = make_ppo("classification", env_kwargs=noise_images(num_glimpses=T, glimpse_cost=0.5))
    _, error = learner.update()
    assert 0 <= error <= 1
    assert error * B == pytest.approx(round(error * B))


def test_each_update_plays_new_episodes(monkeypatch):
    learner, seeds = make_ppo(), []
    reset = learner.envs.reset
    monkeypatch.setattr(learner.envs, "reset", lambda seed: seeds.extend(seed) or reset(seed=seed))
    run_updates(learner, 4)
    assert len(set(seeds)) == 4 * B


@each_task
def test_same_seed_is_bit_equal_and_another_seed_is_not(task):
    def weights(seed):
        return run_updates(make_ppo(task, training={"seed": seed}), 6).policy.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert_same_weights(first, again)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@each_task
def test_every_weight_is_trained(task):
    learner = make_ppo(task)
    before = copy_state(learner.policy)
    learner.update()
    assert not any(torch.equal(before[name], weight) for name, weight in learner.policy.state_dict().items())


# ------------------------------------------------------------------------------------------------- learning


def test_learns_to_catch():
    env_kwargs = CATCH_KWARGS | {"num_glimpses": 4}
    training = {"num_episodes": 80 * 128, "batch_size": 128, "minibatch_size": 64, "learning_rate": 8e-3}
    sizes = {"glimpse_units": 32, "location_units": 16, "glimpse_features": 32, "hidden_units": 32}
    learner = make_ppo("catch", training, env_kwargs, **sizes, core="gru", scale_gain=4.0, sigma=0.2)
    run_updates(learner)
    missed = evaluate(learner.policy, CATCH, env_kwargs, EvalConditions("test"), num_episodes=2000).errors[0]
    chance = 1 - float(oracles.chance_of_random_catch(4))
    assert chance > 0.56
    assert missed < 0.4


def test_learns_to_look_and_classify_by_the_reward_alone():
    env_kwargs = square_images(num_glimpses=3, first_glimpse="center")
    training = {"num_episodes": 100 * 128, "batch_size": 128, "minibatch_size": 64, "learning_rate": 8e-3}
    sizes = {"glimpse_units": 32, "location_units": 16, "glimpse_features": 32, "hidden_units": 32}
    learner = make_ppo("classification", training, env_kwargs, **sizes, core="gru", sigma=0.2)
    run_updates(learner)

    def last_error(locations):
        return evaluate(learner.policy, IMAGES, env_kwargs, EvalConditions("test", locations)).errors[-1]

    assert last_error("learned") < 0.06
    assert last_error("center") > 0.2
