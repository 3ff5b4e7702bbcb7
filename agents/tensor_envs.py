"""The boundary between vector envs and learners: a learner sees torch tensors only, whatever the env computes with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv, VectorWrapper
from torch import Tensor


class TensorEnvs(VectorWrapper):
    """Vector env whose actions, observations, rewards and infos are torch tensors on the env's device.

    Those of an env of NumPy arrays are tensors on the CPU that share the arrays' memory. Those of an env on a torch
    device pass through unchanged.

    Args:
        envs: vector env of this package, with ``NEXT_STEP`` autoreset.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(envs)
        self._has_arrays = envs.metadata["device"] == "cpu"

    def reset(self, **kwargs: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See :meth:`gymnasium.vector.VectorEnv.reset`."""
        return tuple(map(_as_tensors, self.env.reset(**kwargs)))

    def step(self, actions: Any) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """See :meth:`gymnasium.vector.VectorEnv.step`."""
        return tuple(map(_as_tensors, self.env.step(to_arrays(actions) if self._has_arrays else actions)))


def _as_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_tensors(part) for name, part in value.items()}
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def to_arrays(value: Any) -> Any:
    """Convert a tensor, or a dict of them, to NumPy arrays, copied if they are not on the CPU."""
    if isinstance(value, dict):
        return {name: to_arrays(part) for name, part in value.items()}
    return value.detach().cpu().numpy()
