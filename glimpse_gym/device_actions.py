"""Checks and decoding of actions that are torch tensors on a device: what :mod:`glimpse_gym.actions` is for NumPy.

Types, shapes, dtypes and devices are checked at once. Values are checked on the device, without waiting for it: what is
wrong is replaced by something harmless and noted, and :meth:`DeviceActions.check` raises the error later.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from glimpse_gym.actions import ActionCodec, ContinuousCodec, DiscreteCodec, HybridCodec, MultiDiscreteCodec
from glimpse_gym.kernels.torch_backend import TorchBackend
from glimpse_gym.validation import shown
from glimpse_gym.world import Action


class DeviceActions:
    """Decoder of the actions of B rows, in the form of a codec.

    Args:
        codec: the action form.
        backend: the device that actions must be on.
        num_rows: B.
    """

    def __init__(self, codec: ActionCodec, backend: TorchBackend, num_rows: int) -> None:
        self._codec = codec
        self._backend = backend
        self._num_rows = num_rows
        self._centers = backend.from_host(codec.centers)
        self._not_finite = torch.zeros(num_rows, dtype=torch.bool, device=backend.torch_device)
        self._out_of_range = torch.zeros_like(self._not_finite)

    def decode(self, actions: Any) -> Action:
        """Decode the actions of all rows.

        Raises:
            TypeError: if an action is not a tensor, or is on another device.
            ValueError: if its keys, shape or dtype are not those of the action space, or it requires a gradient.
        """
        codec, num_choices = self._codec, self._codec.num_choices
        if isinstance(codec, HybridCodec):
            location, choice = self._parts(actions)
            return Action(self._locations(location), self._integers(choice, num_choices), None)
        if isinstance(codec, ContinuousCodec):
            self._check("action", actions, (2 + num_choices,), torch.float32)
            return Action(self._locations(actions[:, :2]), self._finite(actions[:, 2:]).argmax(1), None)
        if isinstance(codec, MultiDiscreteCodec):
            self._check("action", actions, (2,), torch.int64)
            parts = {name: self._integers(actions[:, i], codec.sizes[i]) for i, name in enumerate(codec.names)}
            return Action(self._centers[parts["cell"]], parts[codec.choice_name], None)
        assert isinstance(codec, DiscreteCodec)
        self._check("action", actions, (), torch.int64)
        number = self._integers(actions, int(codec.space.n))  # type: ignore[attr-defined]
        if not codec.choice_is_final:
            return Action(self._centers[number % codec.num_cells], number // codec.num_cells, None)
        commits = number >= codec.num_cells
        choice = torch.where(commits, number - codec.num_cells, 0)
        return Action(self._centers[torch.where(commits, 0, number)], choice, commits)

    def masks(self, last_step: Tensor) -> Tensor:
        """Return the mask of valid actions, bool (B, n); see :meth:`ActionCodec.masks`."""
        codec = self._codec
        if not isinstance(codec, DiscreteCodec | MultiDiscreteCodec):
            codec.masks(self._backend.to_host(last_step))  # raises the error
        masks = last_step.new_ones((len(last_step), spaces.utils.flatdim(codec.space)))
        if isinstance(codec, DiscreteCodec) and codec.choice_is_final:
            masks[:, : codec.num_cells] = ~last_step[:, None]
        return masks

    @property
    def is_capturing(self) -> bool:
        """True while a CUDA graph is captured, when :meth:`check` must not be called."""
        return self._backend.is_capturing

    def check(self) -> None:
        """Raise ValueError if actions since the last call had bad values. Waits for the device."""
        if not bool((self._not_finite | self._out_of_range).any()):
            return
        problems = []
        for flags, problem in (
            (self._not_finite, "NaN or infinite numbers"),
            (self._out_of_range, f"integers out of the range of {self._codec.space}"),
        ):
            if rows := flags.nonzero()[:, 0].tolist():
                problems.append(f"{problem} in the sub-envs {shown(rows)}")
            flags.zero_()
        raise ValueError(
            f"actions since the last check had {' and '.join(problems)}: the episodes that had them are void; call "
            "reset(), and pass finite locations and integers in range"
        )

    def _parts(self, actions: Any) -> tuple[Tensor, Tensor]:
        name = self._codec.choice_name
        if not isinstance(actions, dict) or actions.keys() != {"next_location", name}:
            given = f"the keys {shown(list(actions))}" if isinstance(actions, dict) else shown(actions, 200)
            raise ValueError(f"actions must be a dict with the keys 'next_location' and '{name}', got {given}")
        location, choice = actions["next_location"], actions[name]
        self._check("next_location", location, (2,), torch.float32)
        self._check(name, choice, (), torch.int64)
        return location, choice

    def _check(self, name: str, values: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        shape = (self._num_rows, *shape)
        device = self._backend.torch_device
        expected = f"{name} must be a tensor of {dtype} of shape {shape} on device {str(device)!r}"
        if not isinstance(values, Tensor):
            hint = f"torch.as_tensor(array, dtype={dtype}, device={str(device)!r})"
            raise TypeError(f"{expected}, got an object of type {type(values).__name__}: convert it with {hint}")
        if values.device != device:
            raise TypeError(f"{expected}, got one on device {str(values.device)!r}: call .to({str(device)!r}) on it")
        if values.dtype != dtype or values.shape != shape:
            raise ValueError(f"{expected}, got {values.dtype} of shape {tuple(values.shape)}")
        if values.requires_grad:
            raise ValueError(f"{expected}, got one that requires a gradient: call .detach() on it")

    def _locations(self, locations: Tensor) -> Tensor:
        return self._finite(locations).clamp(-1.0, 1.0)

    def _finite(self, values: Tensor) -> Tensor:
        """Note rows with NaN or infinite values, and replace these."""
        self._not_finite |= ~values.isfinite().all(1)
        return values.nan_to_num()

    def _integers(self, values: Tensor, number: int) -> Tensor:
        """Note rows with values that are not from 0 to ``number - 1``, and replace these, as a new tensor."""
        inside = values.clamp(0, number - 1)
        self._out_of_range |= values != inside
        return inside
