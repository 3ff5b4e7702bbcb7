"""PPO with TorchRL (0.14), on any glimpse_gym env with Discrete actions. The policy has no memory, but ppo_lstm.py has.

    python docs/examples/torchrl_ppo.py --env-id glimpse_gym/CatchDiscrete-v0

It is also an algorithm of the benchmark; see the end of the file:

    cd docs/examples
    glimpse-gym benchmark run --import torchrl_ppo --algorithms torchrl-ppo --tasks MNIST
"""

import math
from dataclasses import dataclass

import gymnasium as gym
import torch
import tyro
from gymnasium.vector import AutoresetMode
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn
from torch.distributions import Categorical
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.modules import MLP, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS, Algorithm

KEYS = ["glimpse", "location", "time"]


@dataclass
class Args:
    """Settings."""

    env_id: str = "glimpse_gym/MNISTDiscrete-v0"
    seed: int = 0
    total_timesteps: int = 500_000
    learning_rate: float = 1e-3
    num_envs: int = 64
    num_steps: int = 28
    """Steps of each env in one rollout."""
    batch_size: int = 448
    update_epochs: int = 4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_coef: float = 0.2
    ent_coef: float = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    hidden_units: int = 256


class Network(nn.Module):
    """MLP on the concatenated parts of the observation."""

    def __init__(self, num_outputs, hidden_units):
        super().__init__()
        self.mlp = MLP(out_features=num_outputs, num_cells=[hidden_units, hidden_units], activation_class=nn.ReLU)

    def forward(self, glimpse, location, time):
        return self.mlp(torch.cat([glimpse.flatten(-3), location, time], dim=-1))  # (B, ...) or (B, T, ...)


class Agent:
    """The benchmark's agent: check_env, seed, initial_state, act."""

    def __init__(self, actor, envs):
        self.actor, self.action_space = actor, envs.single_action_space

    def check_env(self, envs):
        if envs.single_action_space != self.action_space:
            raise ValueError(f"the agent acts in {self.action_space}, the env has {envs.single_action_space}")

    def seed(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def initial_state(self, num_envs):
        return None

    @torch.no_grad()
    def act(self, observation, state, sample=False):
        policy = self.actor.get_dist(TensorDict(observation, batch_size=len(observation["time"])))
        if sample:
            return torch.multinomial(policy.probs, 1, generator=self.generator).squeeze(1).numpy(), state
        return policy.probs.argmax(1).numpy(), state


def learn(args, report=lambda num_steps, agent: None):
    torch.manual_seed(args.seed)
    # TorchRL resets the sub-envs that have ended. It also accepts SAME_STEP, but then TorchRL 0.14 loses the last
    # observation of every episode if observations are a Dict.
    envs = gym.make_vec(args.env_id, num_envs=args.num_envs, autoreset_mode=AutoresetMode.DISABLED)
    env = GymWrapper(envs, categorical_action_encoding=True)
    env.set_seed(args.seed * 2**16)
    network = Network(int(envs.single_action_space.n), args.hidden_units)
    actor = ProbabilisticActor(
        TensorDictModule(network, KEYS, ["logits"]), ["logits"], distribution_class=Categorical, return_log_prob=True
    )
    critic = ValueOperator(Network(1, args.hidden_units), KEYS)
    critic(actor(env.reset()))  # creates the weights
    compute_advantages = GAE(gamma=args.gamma, lmbda=args.gae_lambda, value_network=critic)
    settings = {"clip_epsilon": args.clip_coef, "entropy_coeff": args.ent_coef, "critic_coeff": args.vf_coef}
    loss = ClipPPOLoss(actor, critic, normalize_advantage=True, **settings)
    optimizer = torch.optim.Adam(loss.parameters(), lr=args.learning_rate, eps=1e-5)
    num_frames = args.num_envs * args.num_steps
    num_updates = math.ceil(args.total_timesteps / num_frames)
    agent = Agent(actor, envs)
    sizes = {"frames_per_batch": num_frames, "total_frames": num_updates * num_frames}
    collector = Collector(env, actor, auto_register_policy_transforms=False, **sizes)
    for update, rollout in enumerate(collector):  # (num_envs, num_steps)
        optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - update / num_updates)
        for _ in range(args.update_epochs):
            compute_advantages(rollout)
            for batch in rollout.reshape(-1)[torch.randperm(num_frames)].split(args.batch_size):
                losses = loss(batch)
                optimizer.zero_grad()
                (losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), args.max_grad_norm)
                optimizer.step()
        report((update + 1) * num_frames, agent)
        if update % 20 == 0:
            finished = max(1, int(rollout["next", "done"].sum()))
            print(f"{(update + 1) * num_frames} steps, mean return {rollout['next', 'reward'].sum() / finished:.3f}")
    collector.shutdown()
    return agent


# The benchmark: a function and a line.


def train(env_id, seed, budget):
    return learn(Args(env_id=env_id, seed=seed, total_timesteps=budget.num_steps), budget.report)


ALGORITHMS["torchrl-ppo"] = Algorithm("torchrl_ppo:train", "discrete", "PPO of TorchRL")

if __name__ == "__main__":
    learn(tyro.cli(Args))
