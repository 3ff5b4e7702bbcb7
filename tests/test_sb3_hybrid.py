"""Hybrid actions: the wrapper, the distribution against hand-written formulas, and the policies."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor

import oracles
from glimpse_gym.agents.sb3.agent import SB3Agent
from glimpse_gym.agents.sb3.features import glimpse_policy_kwargs
from glimpse_gym.agents.sb3.hybrid import HybridActions, HybridPolicy, RecurrentHybridPolicy
from glimpse_gym.agents.sb3.vec_env import to_sb3

OWN = {"images": np.random.default_rng(0).integers(0, 256, (6, 20, 30), np.uint8), "labels": np.arange(6) % 3}
IMAGES, CATCH = "glimpse_gym/Images-v0", "glimpse_gym/Catch-v0"
SETTINGS = {"seed": 0, "device": "cpu"}
SMALL = glimpse_policy_kwargs(units=16, location_units=16, features=16, net_arch=[16])


def make(env_id=IMAGES, num_envs=3, **kwargs):
    own = OWN | {"num_glimpses": 4} if env_id == IMAGES else {}
    return gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **own | kwargs)


def make_model(env_id=IMAGES, num_stack=1, algorithm=PPO, policy=HybridPolicy, **policy_kwargs):
    envs = VecFrameStack(to_sb3(HybridActions(make(env_id))), num_stack)
    batch_size = {} if algorithm is A2C else {"batch_size": 24}
    return algorithm(policy, envs, n_steps=8, policy_kwargs=SMALL | policy_kwargs, **batch_size, **SETTINGS)


def to_tensors(observation):
    return {name: torch.as_tensor(values) for name, values in observation.items()}


def observations(model, *steps):
    """One observation per given time, with random contents."""
    rng = np.random.default_rng(0)
    batch = {name: rng.uniform(0, 1, (len(steps), *part.shape)) for name, part in model.observation_space.items()}
    batch["time"][:, -1] = steps
    return {name: values.astype(np.float32) for name, values in batch.items()}


def parameters(model, observation):
    """Mean, standard deviation and choice probabilities of each row, from the layers themselves."""
    policy = model.policy
    with torch.no_grad():
        hidden = policy.mlp_extractor.forward_actor(policy.features_extractor(to_tensors(observation)))
        outputs = policy.action_net(hidden).double().numpy()
    weights = np.exp(outputs[:, 2:] - outputs[:, 2:].max(axis=1, keepdims=True))
    return outputs[:, :2], policy.log_std.exp().detach().double().numpy(), weights / weights.sum(axis=1, keepdims=True)


def randomize(model):
    """Give the output layer large random weights and unequal standard deviations."""
    torch.manual_seed(0)
    with torch.no_grad():
        model.policy.action_net.weight.normal_(0, 0.5)
        model.policy.log_std.copy_(torch.tensor([-1.0, 0.5]))


# ---------------------------------------------------------------- HybridActions


@pytest.mark.parametrize("env_id", [IMAGES, CATCH])
def test_episodes_are_those_of_the_dict_actions(env_id):
    name = "label" if env_id == IMAGES else "move"
    packed, plain = HybridActions(make(env_id)), make(env_id)
    assert packed.single_action_space.shape == (3,)
    np.testing.assert_array_equal(packed.single_action_space.low, [-1, -1, 0])
    np.testing.assert_array_equal(packed.single_action_space.high, [1, 1, 2])
    oracles.assert_identical(packed.reset(seed=0), plain.reset(seed=0))
    rng = np.random.default_rng(0)
    for _ in range(30):
        location, choice = rng.uniform(-1, 1, (3, 2)).astype(np.float32), rng.integers(0, 3, 3)
        actions = np.concatenate([location, choice[:, None].astype(np.float32)], axis=1)
        oracles.assert_identical(packed.step(actions), plain.step({"next_location": location, name: choice}))


def test_choices_are_rounded():
    envs = HybridActions(make())
    actions = envs.actions(np.float32([[0, 0, 0.49], [0, 0, 0.51], [0, 0, 1.9]]))
    np.testing.assert_array_equal(actions["label"], [0, 1, 2])
    assert actions["label"].dtype == np.int64


@pytest.mark.parametrize("actions", ["discrete", "multidiscrete", "continuous"])
def test_only_dict_actions_are_packed(actions):
    with pytest.raises(ValueError, match="HybridActions takes envs of this package with hybrid actions, Dict"):
        HybridActions(make(actions=actions))


def test_an_env_of_another_package():
    with pytest.raises(ValueError, match="got the action space Discrete"):
        HybridActions(gym.make_vec("CartPole-v1", num_envs=2))


# ---------------------------------------------------------------- HybridPolicy


@pytest.mark.parametrize("num_stack", [1, 3])
@pytest.mark.parametrize(("env_id", "ignore_unused"), [(IMAGES, False), (IMAGES, True), (CATCH, False), (CATCH, True)])
def test_log_probabilities_and_entropies(env_id, ignore_unused, num_stack):
    model = make_model(env_id, num_stack, ignore_unused=ignore_unused)
    randomize(model)
    horizon = 4 if env_id == IMAGES else 23
    times = np.arange(horizon) / horizon
    observation = observations(model, *times)
    rng = np.random.default_rng(1)
    location, choice = rng.normal(0, 2, (horizon, 2)), rng.integers(0, 3, horizon)  # some outside [-1, 1]
    actions = torch.as_tensor(np.column_stack([location, choice]), dtype=torch.float32)
    _, log_prob, entropy = model.policy.evaluate_actions(to_tensors(observation), actions)
    mean, std, probs = parameters(model, observation)
    for t in range(horizon):
        of_location = sum(
            -((location[t, i] - mean[t, i]) ** 2) / (2 * std[i] ** 2) - math.log(std[i] * math.sqrt(2 * math.pi))
            for i in range(2)
        )
        of_choice = math.log(probs[t, choice[t]])
        location_entropy = sum(math.log(std[i] * math.sqrt(2 * math.pi * math.e)) for i in range(2))
        choice_entropy = -sum(p * math.log(p) for p in probs[t])
        if ignore_unused and env_id == IMAGES:  # the label counts in the last step, the location before it
            last = t == horizon - 1
            expected = (of_choice, choice_entropy) if last else (of_location, location_entropy)
        else:
            expected = of_location + of_choice, location_entropy + choice_entropy
        np.testing.assert_allclose([log_prob[t].item(), entropy[t].item()], expected, rtol=2e-4, atol=2e-4)


def test_a_batch_of_another_size_does_not_see_the_steps_of_the_batch_before():
    model = make_model()
    actions = torch.zeros(2, 3)
    model.policy.evaluate_actions(to_tensors(observations(model, 0.75, 0.75, 0.75)), torch.zeros(3, 3))
    distribution = model.policy.get_distribution(to_tensors(observations(model, 0.0, 0.75)))
    _, expected, _ = model.policy.evaluate_actions(to_tensors(observations(model, 0.0, 0.75)), actions)
    torch.testing.assert_close(distribution.log_prob(actions), expected)


def test_samples_follow_the_distribution():
    model = make_model()
    randomize(model)
    observation = observations(model, 0.25)
    batch = {name: np.repeat(values, 20_000, axis=0) for name, values in observation.items()}
    with torch.no_grad():
        actions, _, log_prob = model.policy(to_tensors(batch))
        _, expected, _ = model.policy.evaluate_actions(to_tensors(batch), actions)
    torch.testing.assert_close(log_prob, expected)
    mean, std, probs = parameters(model, observation)
    actions = actions.double().numpy()
    np.testing.assert_allclose(actions[:, :2].mean(axis=0), mean[0], atol=0.05)
    np.testing.assert_allclose(actions[:, :2].std(axis=0), std, rtol=0.03)
    np.testing.assert_allclose([(actions[:, 2] == k).mean() for k in range(3)], probs[0], atol=0.02)


def test_mode_is_the_mean_and_the_most_probable_choice():
    model = make_model(num_stack=2)
    randomize(model)
    observation = observations(model, *np.zeros(20))
    actions, _ = model.predict(observation, deterministic=True)
    mean, _, probs = parameters(model, observation)
    np.testing.assert_allclose(actions[:, :2], np.clip(mean, -1, 1), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(actions[:, 2], probs.argmax(axis=1))
    assert len(set(actions[:, 2])) > 1


def test_the_unclipped_sample_is_stored():
    model = make_model(log_std_init=2.0)
    model.learn(24)
    stored = torch.as_tensor(model.rollout_buffer.actions)
    assert stored[:, :2].abs().max() > 1
    assert ((stored[:, 2] >= 0) & (stored[:, 2] <= 2)).all()


@pytest.mark.parametrize("env_id", [IMAGES, CATCH])
@pytest.mark.parametrize(
    ("algorithm", "policy"), [(PPO, HybridPolicy), (A2C, HybridPolicy), (RecurrentPPO, RecurrentHybridPolicy)]
)
def test_training_saving_and_loading(algorithm, policy, env_id, tmp_path):
    model = make_model(env_id, 2, algorithm, policy, ignore_unused=False).learn(24)
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model", device="cpu")
    observation = model.get_env().reset()
    expected, _ = model.predict(observation, deterministic=True)
    oracles.assert_identical(loaded.predict(observation, deterministic=True)[0], expected)
    assert not loaded.policy.ignore_unused
    loaded.set_env(model.get_env())
    loaded.learn(24)
    assert not np.array_equal(loaded.predict(observation, deterministic=True)[0], expected)


def test_evaluate_policy():
    envs = VecMonitor(to_sb3(HybridActions(make(CATCH))))
    model = PPO(HybridPolicy, envs, n_steps=8, batch_size=24, **SETTINGS)
    rewards, lengths = evaluate_policy(model, envs, n_eval_episodes=4, return_episode_rewards=True)
    assert (len(rewards), lengths) == (4, [23] * 4)


def test_policies_are_saved_alone(tmp_path):
    model = make_model(ignore_unused=False)
    model.policy.save(tmp_path / "policy")
    loaded = HybridPolicy.load(tmp_path / "policy", device="cpu")
    observation = observations(model, 0.0, 0.75)
    oracles.assert_identical(
        loaded.predict(observation, deterministic=True), model.predict(observation, deterministic=True)
    )
    assert not loaded.ignore_unused


@pytest.mark.parametrize("env_id", [IMAGES, CATCH])
def test_agents_give_dict_actions(env_id):
    model = make_model(env_id, 2)
    agent, envs = SB3Agent(model), make(env_id)
    agent.check_env(envs)
    observation, _ = envs.reset(seed=0)
    action, _ = agent.act(observation, agent.initial_state(3), sample=True)
    assert envs.action_space.contains(action)
    with pytest.raises(ValueError, match="the model's actions are Dict"):
        agent.check_env(make(env_id, actions="discrete"))


def test_a_policy_learns_from_its_last_label_only():
    """The label is the position of the bright half; only a policy that learns labels gets them right."""
    images = np.zeros((2, 8, 8), np.uint8)
    images[0, :, :4] = images[1, :, 4:] = 255
    settings = {"images": images, "labels": np.arange(2), "num_glimpses": 2, "patch_size": 8, "num_scales": 2}
    envs = to_sb3(HybridActions(make(num_envs=16, first_glimpse="center", **settings)))
    model = PPO(HybridPolicy, envs, n_steps=8, batch_size=64, learning_rate=3e-3, **SETTINGS).learn(1_000)
    agent, test = SB3Agent(model), make(num_envs=16, first_glimpse="center", **settings)
    observation, _ = test.reset(seed=1)
    state, successes = agent.initial_state(16), []
    for _ in range(2):
        action, state = agent.act(observation, state)
        observation, reward, *_ = test.step(action)
        successes.append(reward)
    assert successes[-1].mean() == 1


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_a_policy_on_another_action_space(actions):
    with pytest.raises(ValueError, match="HybridPolicy takes the actions of HybridActions, got the action space"):
        PPO(HybridPolicy, to_sb3(make(actions=actions)), n_steps=8, batch_size=24, **SETTINGS)


def test_flat_observations():
    with pytest.raises(ValueError, match="make the env with observations='dict'"):
        PPO(HybridPolicy, to_sb3(HybridActions(make(observations="flat"))), n_steps=8, batch_size=24, **SETTINGS)
