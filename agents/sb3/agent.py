"""A model of Stable-Baselines3 or sb3-contrib as an agent of this package."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from stable_baselines3.common.base_class import BaseAlgorithm

from glimpse_gym.agents.sb3.hybrid import HybridSpace

Observation = np.ndarray | dict[str, np.ndarray]


class SB3State(NamedTuple):
    """Memory of B episodes."""

    frames: Observation
    """The last observations, stacked as the model's observation space has them, oldest first."""
    recurrent: tuple[np.ndarray, ...] | None
    """Recurrent state of the model; None before the first step and in models that have none."""


class SB3Agent:
    """A model under the protocol :class:`glimpse_gym.agents.base.Agent`.

    The model acts in the env that it was trained on, without SB3's wrappers: stacks of frames (``VecFrameStack``) and
    recurrent states are kept here, and reset in the rows where ``time`` is 0. A model trained through
    :class:`~glimpse_gym.agents.sb3.hybrid.HybridActions` gives Dict actions.

    Samples are drawn from the distribution of the model's policy. DQN, QR-DQN and TD3 have none, and are always greedy.

    Args:
        model: trained on dict or flat observations of an env of this package.

    Raises:
        ValueError: if the model was trained on normalized observations (``VecNormalize``), which the env does not have.
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        normalizer = model.get_vec_normalize_env()
        if normalizer is not None and normalizer.norm_obs:
            raise ValueError(
                "the model was trained on normalized observations, and the env's are not normalized: "
                "train it through VecNormalize(..., norm_obs=False)"
            )
        self.model = model
        self.seed(0)

    def check_env(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise ValueError if the model was trained on other observations or actions than those of the env."""
        space, wanted = envs.single_action_space, self.model.action_space
        if isinstance(wanted, HybridSpace):
            wanted = wanted.dict_space
        if space != wanted:
            raise ValueError(
                f"the model's actions are {wanted}, and the env's are {space}: use the env of the training"
            )
        found, stacked = _shapes(envs.single_observation_space), _shapes(self.model.observation_space)
        if found.keys() != stacked.keys() or not all(_is_stack(stacked[key], found[key]) for key in found):
            raise ValueError(
                f"the model's observations are {stacked}, and the env's are {found}, of which they are no stack: use "
                "the env of training"
            )

    def seed(self, seed: int) -> None:
        """Seed the samples. Torch's global generator, with which a training may go on, is left alone."""
        self._generator_state = torch.Generator().manual_seed(seed).get_state()

    def initial_state(self, num_envs: int) -> SB3State:
        """Return the state before the first observation: empty frames."""
        space = self.model.observation_space
        if isinstance(space, spaces.Dict):
            return SB3State({key: _zeros(num_envs, part) for key, part in space.items()}, None)
        return SB3State(_zeros(num_envs, space), None)

    def act(self, observation: Observation, state: SB3State, sample: bool = False) -> tuple[Any, SB3State]:
        """Choose actions for B observations.

        Args:
            observation: of the env, not stacked. The state is reset in the rows where ``time`` is 0.
            state: from the previous step, or from :meth:`initial_state`.
            sample: sample from the policy; otherwise use its mode.

        Returns:
            The actions, (B, ...) in the env's action space or as a Dict, and the new state.
        """
        if isinstance(observation, dict):
            started = observation["time"][:, 0] == 0
            frames: Any = {key: _push(state.frames[key], new, started) for key, new in observation.items()}
        else:
            started = observation[:, -1] == 0  # flat observations end with the time
            frames = _push(state.frames, observation, started)  # type: ignore[arg-type]
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._generator_state)
            # The policy's own predict, as DQN.predict also explores.
            action, recurrent = self.model.policy.predict(frames, state.recurrent, started, deterministic=not sample)
            self._generator_state = torch.get_rng_state()
        space = self.model.action_space
        return space.to_dict(action) if isinstance(space, HybridSpace) else action, SB3State(frames, recurrent)


def _push(frames: np.ndarray, new: np.ndarray, started: np.ndarray) -> np.ndarray:
    """Drop the oldest frame and add a new one, after clearing the rows that start, as VecFrameStack does."""
    grown = [axis for axis in range(new.ndim) if frames.shape[axis] != new.shape[axis]]
    if not grown:
        return new
    (axis,) = grown
    frames = np.roll(frames, -new.shape[axis], axis)
    frames[started] = 0
    newest = (slice(None),) * axis + (slice(-new.shape[axis], None),)
    frames[newest] = new
    return frames


def _zeros(num_envs: int, space: spaces.Space[Any]) -> np.ndarray:
    return np.zeros((num_envs, *space.shape), space.dtype)  # type: ignore[misc]


def _shapes(space: spaces.Space[Any]) -> dict[str, tuple[int, ...]]:
    parts = space.spaces if isinstance(space, spaces.Dict) else {"observation": space}
    return {key: tuple(part.shape or ()) for key, part in parts.items()}


def _is_stack(stacked: tuple[int, ...], frame: tuple[int, ...]) -> bool:
    """Return whether a shape is that of frames stacked along at most one axis."""
    grown = [(many, one) for many, one in zip(stacked, frame, strict=False) if many != one]
    return len(stacked) == len(frame) and len(grown) <= 1 and all(many % one == 0 for many, one in grown)
