"""Hybrid actions for Stable-Baselines3's PPO: a location and a choice (a label or a move) in one action.

SB3 has no Dict actions. :class:`HybridActions` packs ours into one Box, and :class:`HybridPolicy` has a distribution
that joins a Gaussian and a categorical::

    envs = gym.make_vec("glimpse_gym/MNIST-v0", num_envs=64, autoreset_mode="SameStep")
    model = PPO(HybridPolicy, to_sb3(HybridActions(envs)))

B actions, K choices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorActionWrapper, VectorEnv
from gymnasium.vector.utils import batch_space
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn
from torch.distributions import Categorical, Normal

from glimpse_gym.agents.sb3.features import glimpse_policy_kwargs


class HybridSpace(spaces.Box):
    """Hybrid actions as one Box, ``[x, y, choice]``, from ``[-1, -1, 0]`` to ``[1, 1, K-1]``, float32 (3,).

    Args:
        envs: vector env with hybrid actions, ``Dict(next_location=Box(-1, 1, (2,)), <choice>=Discrete(K))``.

    Raises:
        ValueError: if the env has other actions, or is not of this package.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        space, metadata = envs.single_action_space, envs.metadata
        if not (isinstance(space, spaces.Dict) and "next_location" in space.spaces and "choice_is_final" in metadata):
            raise ValueError(
                "HybridActions takes envs of this package with hybrid actions, Dict(next_location=..., label=... or "
                f"move=...), got the action space {space}: use an id without 'Discrete' or 'Continuous', such as "
                "glimpse_gym/MNIST-v0; Stable-Baselines3 takes all other action spaces without HybridActions"
            )
        self.dict_space = space
        (self.choice_name,) = space.keys() - {"next_location"}
        self.num_choices = int(space[self.choice_name].n)  # type: ignore[attr-defined]
        self.choice_is_final: bool = metadata["choice_is_final"]
        self.num_glimpses: int = metadata["num_glimpses"]
        low, high = np.array([-1, -1, 0]), np.array([1, 1, self.num_choices - 1])
        super().__init__(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)

    def to_dict(self, actions: np.ndarray) -> dict[str, np.ndarray]:
        """Convert actions (B, 3) to the Dict: ``next_location`` float32 (B, 2), and the choice, int64 (B,)."""
        return {
            "next_location": np.asarray(actions[:, :2], np.float32),
            self.choice_name: np.rint(actions[:, 2]).astype(np.int64),
        }


class HybridActions(VectorActionWrapper):
    """Vector env whose hybrid action is one Box, ``[x, y, choice]``; the choice is rounded to an integer.

    Args:
        env: vector env of this package with hybrid actions.

    Raises:
        ValueError: if the env has other actions, or is not of this package.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self._space = HybridSpace(env)
        self.single_action_space = self._space
        self.action_space = batch_space(self._space, self.num_envs)

    def actions(self, actions: np.ndarray) -> dict[str, np.ndarray]:
        """Convert actions, (num_envs, 3), to the Dict actions of the env."""
        return self._space.to_dict(actions)


class HybridDistribution(DiagGaussianDistribution):
    """Diagonal Gaussian over the location and categorical over the choice, independent of each other.

    A sample is ``[x, y, choice]``, float32 (B, 3). SB3 clips what it sends to the env, but stores the sample itself:
    log-probabilities are those of the unclipped location.
    """

    choice: Categorical
    location_counts: Tensor | float = 1.0
    """Weight of the location in log-probabilities and entropies, 0 or 1, float32 (B,); 1 if there is none per row."""
    choice_counts: Tensor | float = 1.0
    """Weight of the choice."""

    def __init__(self, num_choices: int) -> None:
        super().__init__(action_dim=2)
        self.num_choices = num_choices

    def proba_distribution_net(self, latent_dim: int, log_std_init: float = 0.0) -> tuple[nn.Module, nn.Parameter]:
        """Create the layer of the mean and the logits, 2 + K units, and the log standard deviation, (2,)."""
        return nn.Linear(latent_dim, 2 + self.num_choices), nn.Parameter(torch.full((2,), log_std_init))

    def proba_distribution(self, mean_actions: Tensor, log_std: Tensor) -> HybridDistribution:
        """Set the parameters: the output of the layer, (B, 2 + K), and the log standard deviation, (2,)."""
        mean = mean_actions[:, :2]
        self.distribution = Normal(mean, log_std.exp().expand_as(mean))
        self.choice = Categorical(logits=mean_actions[:, 2:])
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Compute the joint log-probability of actions (B, 3), of the parts that count: (B,)."""
        choice = self.choice.log_prob(actions[:, 2].round().long())
        return self.location_counts * super().log_prob(actions[:, :2]) + self.choice_counts * choice

    def entropy(self) -> Tensor:
        """Compute the joint entropy of the parts that count: (B,)."""
        location = self.distribution.entropy().sum(dim=1)
        return self.location_counts * location + self.choice_counts * self.choice.entropy()

    def sample(self) -> Tensor:
        """Sample actions, (B, 3)."""
        return self._join(super().sample(), self.choice.sample())

    def mode(self) -> Tensor:
        """Return the mean location and the most probable choice, (B, 3)."""
        return self._join(super().mode(), self.choice.logits.argmax(dim=1))

    @staticmethod
    def _join(location: Tensor, choice: Tensor) -> Tensor:
        return torch.cat([location, choice.unsqueeze(1).to(location.dtype)], dim=1)


class _HybridActor(ActorCriticPolicy):
    """Shared part of the hybrid policies, before a base class of SB3 or sb3-contrib."""

    action_dist: HybridDistribution

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        ignore_unused: bool = True,
        **kwargs: Any,
    ) -> None:
        if not isinstance(action_space, HybridSpace):
            raise ValueError(
                f"{type(self).__name__} takes the actions of HybridActions, got the action space {action_space}: "
                "make the env as to_sb3(HybridActions(gym.make_vec(env_id, num_envs=..., autoreset_mode='SameStep')))"
            )
        self.ignore_unused = ignore_unused and action_space.choice_is_final
        super().__init__(observation_space, action_space, lr_schedule, **glimpse_policy_kwargs(gaussian=True) | kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"ignore_unused": self.ignore_unused}

    def _build(self, lr_schedule: Schedule) -> None:
        assert isinstance(self.action_space, HybridSpace)
        self.action_dist = HybridDistribution(self.action_space.num_choices)
        super()._build(lr_schedule)

    # SB3 makes the distribution from the features alone, but always calls one of these two with the observation first.

    def extract_features(self, obs: Any, *args: Any, **kwargs: Any) -> Any:
        self._set_counts(obs)
        return super().extract_features(obs, *args, **kwargs)

    def get_distribution(self, obs: Any, *args: Any, **kwargs: Any) -> Any:
        self._set_counts(obs)
        return super().get_distribution(obs, *args, **kwargs)

    def _set_counts(self, obs: dict[str, Tensor]) -> None:
        """Let the label count in the last step only, and the location before it only."""
        if self.ignore_unused:
            assert isinstance(self.action_space, HybridSpace)
            steps_left = (1 - obs["time"][:, -1]) * self.action_space.num_glimpses
            last = (steps_left < 1.5).float()
            self.action_dist.location_counts, self.action_dist.choice_counts = 1 - last, last


class HybridPolicy(_HybridActor):
    """Policy for PPO and A2C with hybrid actions, on dict observations, also stacked.

    Args:
        observation_space: as for :class:`~glimpse_gym.agents.sb3.features.GlimpseExtractor`, the default features
            extractor; any space with another one.
        action_space: that of :class:`HybridActions`.
        lr_schedule: given by SB3.
        ignore_unused: where a choice is final (labels), let only the parts of an action that have an effect enter the
            log-probability and the entropy: the label in the last step, and the location before it. Where every choice
            has an effect (moves), both always count.
        **kwargs: as in SB3. The defaults are those of :func:`glimpse_policy_kwargs` with ``gaussian=True``.

    Raises:
        ValueError: if the action space is not that of :class:`HybridActions`.
    """


class RecurrentHybridPolicy(_HybridActor, RecurrentActorCriticPolicy):
    """Policy for sb3-contrib's RecurrentPPO with hybrid actions; the arguments are as in :class:`HybridPolicy`."""
