"""Recurrent PPO in one file, after CleanRL's `ppo_atari_lstm.py`, on any glimpse_gym env with Discrete actions.

    python docs/examples/ppo_lstm.py --env-id glimpse_gym/CatchDiscrete-v0

It is also an algorithm of the benchmark; see the end of the file:

    cd docs/examples
    glimpse-gym benchmark run --import ppo_lstm --algorithms ppo-lstm --tasks MNIST
"""

import math
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode
from torch import nn
from torch.distributions import Categorical

from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS, Algorithm


@dataclass
class Args:
    """Settings."""

    env_id: str = "glimpse_gym/MNISTDiscrete-v0"
    seed: int = 0
    total_timesteps: int = 500_000
    learning_rate: float = 1e-3
    num_envs: int = 64
    num_steps: int = 56
    """Steps of each env in one rollout."""
    num_minibatches: int = 8
    """Each of num_envs / num_minibatches envs: sequences are not cut."""
    update_epochs: int = 4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_coef: float = 0.2
    ent_coef: float = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    hidden_units: int = 128


def layer(inputs, outputs, std=2**0.5):
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, std)
    nn.init.zeros_(linear.bias)
    return linear


class Agent(nn.Module):
    """Network, and the benchmark's agent: check_env, seed, initial_state, act."""

    def __init__(self, envs, hidden_units):
        super().__init__()
        self.action_space = envs.single_action_space
        inputs = sum(int(np.prod(space.shape)) for space in envs.single_observation_space.values())
        self.encoder = nn.Sequential(layer(inputs, 256), nn.ReLU(), layer(256, hidden_units), nn.ReLU())
        self.lstm = nn.LSTMCell(hidden_units, hidden_units)
        self.actor = layer(hidden_units, int(self.action_space.n), std=0.01)
        self.critic = layer(hidden_units, 1, std=1)

    def forward(self, observation, state):
        """Logits (B, n), values (B,) and the new state; rows whose episode begins start with an empty state."""
        flat = torch.cat([observation[name].flatten(1) for name in ("glimpse", "location", "time")], dim=1)
        is_first = observation["time"] == 0
        state = self.lstm(self.encoder(flat), tuple(torch.where(is_first, 0.0, part) for part in state))
        return self.actor(state[0]), self.critic(state[0]).squeeze(1), state

    def check_env(self, envs):
        if envs.single_action_space != self.action_space:
            raise ValueError(f"the agent acts in {self.action_space}, the env has {envs.single_action_space}")

    def seed(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def initial_state(self, num_envs):
        return torch.zeros(2, num_envs, self.lstm.hidden_size).unbind()

    @torch.no_grad()
    def act(self, observation, state, sample=False):
        logits, _, state = self(to_tensors(observation), state)
        if sample:
            return torch.multinomial(logits.softmax(1), 1, generator=self.generator).squeeze(1).numpy(), state
        return logits.argmax(1).numpy(), state


def to_tensors(observation):
    return {name: torch.from_numpy(values) for name, values in observation.items()}


def stack(observations):
    return {name: torch.stack([each[name] for each in observations]) for name in observations[0]}


def learn(args, report=lambda num_steps, agent: None):
    torch.manual_seed(args.seed)
    envs = gym.make_vec(args.env_id, num_envs=args.num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    agent = Agent(envs, args.hidden_units)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    observation = to_tensors(envs.reset(seed=args.seed * 2**16)[0])
    state = agent.initial_state(args.num_envs)
    num_updates = math.ceil(args.total_timesteps / (args.num_envs * args.num_steps))
    for update in range(num_updates):
        optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - update / num_updates)

        # Rollout. All episodes of this package end with terminated, never with truncated.
        initial_state, rollout, observations = state, [], []
        for _ in range(args.num_steps):
            with torch.no_grad():
                logits, value, state = agent(observation, state)
                action = Categorical(logits=logits).sample()
                log_prob = Categorical(logits=logits).log_prob(action)
            observations.append(observation)
            next_observation, reward, terminated, _, _ = envs.step(action.numpy())
            reward, terminated = torch.from_numpy(reward).float(), torch.from_numpy(terminated).float()
            rollout.append((action, log_prob, value, reward, terminated))
            observation = to_tensors(next_observation)
        observations = stack(observations)
        actions, log_probs, values, rewards, terminated = map(torch.stack, zip(*rollout, strict=True))

        # Generalized advantage estimates.
        with torch.no_grad():
            _, next_value, _ = agent(observation, state)
        advantages, gae = torch.zeros_like(rewards), torch.zeros(args.num_envs)
        for t in reversed(range(args.num_steps)):
            goes_on = 1 - terminated[t]
            delta = rewards[t] + args.gamma * next_value * goes_on - values[t]
            advantages[t] = gae = delta + args.gamma * args.gae_lambda * goes_on * gae
            next_value = values[t]
        returns = advantages + values

        # Minibatches of whole sequences.
        for _ in range(args.update_epochs):
            for rows in torch.randperm(args.num_envs).chunk(args.num_minibatches):
                hidden, outputs = tuple(part[rows] for part in initial_state), []
                for t in range(args.num_steps):
                    logits, value, hidden = agent({name: o[t, rows] for name, o in observations.items()}, hidden)
                    outputs.append((logits, value))
                logits, new_values = map(torch.stack, zip(*outputs, strict=True))
                policy = Categorical(logits=logits)
                ratio = (policy.log_prob(actions[:, rows]) - log_probs[:, rows]).exp()
                advantage = advantages[:, rows]
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
                value_loss = 0.5 * (new_values - returns[:, rows]).pow(2).mean()
                loss = policy_loss + args.vf_coef * value_loss - args.ent_coef * policy.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()
        num_steps_done = (update + 1) * args.num_envs * args.num_steps
        report(num_steps_done, agent)
        if update % 10 == 0:
            finished = max(1.0, float(terminated.sum()))
            print(f"{num_steps_done} steps, mean return {float(rewards.sum()) / finished:.3f}")
    return agent


# The benchmark: a function and a line.


def train(env_id, seed, budget):
    return learn(Args(env_id=env_id, seed=seed, total_timesteps=budget.num_steps), budget.report)


ALGORITHMS["ppo-lstm"] = Algorithm("ppo_lstm:train", "discrete", "PPO with an LSTM, single file")

if __name__ == "__main__":
    learn(tyro.cli(Args))
