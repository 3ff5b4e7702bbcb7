"""Backend of torch tensors on one device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from glimpse_gym.kernels import torch_kernels
from glimpse_gym.kernels.backend import Backend
from glimpse_gym.validation import shown

_DTYPES = {
    np.dtype(np.bool_): torch.bool,
    np.dtype(np.uint8): torch.uint8,
    np.dtype(np.int64): torch.int64,
    np.dtype(np.float32): torch.float32,
    np.dtype(np.float64): torch.float64,
}
_PART_BYTES = 2**26


class _Shared:
    """Tensor, and the array and owner it was made from, whose addresses nothing else can have while this lives."""

    def __init__(self, array: np.ndarray, owner: object, tensor: Tensor) -> None:
        self.array, self.owner, self.tensor = array, owner, tensor


_shared: WeakValueDictionary[tuple[Any, ...], _Shared] = WeakValueDictionary()


class TorchBackend(Backend):
    """Torch tensors on one device, and kernels made of torch operations.

    Args:
        device: a torch device with 64-bit numbers.
        compiled: compile the kernel that computes glimpses with ``torch.compile``, at its first use.
    """

    minimum = staticmethod(torch.minimum)
    concatenate = staticmethod(torch.cat)
    stack = staticmethod(torch.stack)
    copy = staticmethod(torch.clone)

    def __init__(self, device: torch.device, compiled: bool = False) -> None:
        self.torch_device = device
        self._compiled = compiled
        self.device = "torch:cpu" if device.type == "cpu" else str(device)
        self._kept: list[_Shared] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return TorchBackend, (self.torch_device, self._compiled)

    @cached_property
    def kernels(self) -> Any:
        """See :class:`Backend`."""
        if not self._compiled:
            return torch_kernels
        sense = torch.compile(torch_kernels.sense, dynamic=False)
        return SimpleNamespace(sense=sense, compose=torch_kernels.compose, uniforms=torch_kernels.uniforms)

    def is_array(self, value: Any) -> bool:
        """See :meth:`Backend.is_array`."""
        return isinstance(value, Tensor)

    def zeros(self, shape: int | Sequence[int], dtype: Any) -> Tensor:
        """See :meth:`Backend.zeros`. Arrays of bytes hold pixels, and get the margin that the kernels need."""
        if dtype == np.uint8:
            return torch_kernels.with_margin(int(np.prod(shape)), self.torch_device).view(shape)
        return torch.zeros(shape, dtype=_DTYPES[np.dtype(dtype)], device=self.torch_device)

    def zeros_like(self, array: Tensor) -> Tensor:
        """See :meth:`Backend.zeros_like`."""
        return torch.zeros_like(array)

    def from_host(self, array: np.ndarray) -> Tensor:
        """See :meth:`Backend.from_host`."""
        return torch.from_numpy(array.copy()).to(self.torch_device, non_blocking=True)

    def share(self, array: np.ndarray, owner: object = None) -> Tensor:
        """See :meth:`Backend.share`. The images are the largest part of it: uint8, copied once to each device."""
        address = array.__array_interface__["data"][0]
        key = self.device, id(owner), address, array.shape, array.strides, array.dtype
        shared = _shared.get(key)
        if shared is None:
            self.check_free_memory(array.nbytes, f"images of {array.nbytes:,} bytes", "fewer or smaller images")
            shared = _shared[key] = _Shared(array, owner, self._copy_in_parts(array))
        self._kept.append(shared)
        return shared.tensor

    def _copy_in_parts(self, array: np.ndarray) -> Tensor:
        tensor = self.zeros(array.shape, array.dtype)
        step = max(_PART_BYTES * len(array) // max(array.nbytes, 1), 1)
        for start in range(0, len(array), step):
            # A copy, because torch warns of read-only arrays.
            tensor[start : start + step] = torch.from_numpy(array[start : start + step].copy())
        return tensor

    def to_host(self, array: Tensor) -> np.ndarray:
        """See :meth:`Backend.to_host`."""
        return array.cpu().numpy()

    def copyto(self, target: Tensor, source: Tensor, where: Tensor) -> None:
        """See :meth:`Backend.copyto`."""
        torch.where(where, source, target, out=target)

    def clip(self, array: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """See :meth:`Backend.clip`."""
        return array.clamp(low, high)

    def update(self, old: Tensor, new: Tensor, where: Tensor | None = None) -> Tensor:
        """See :meth:`Backend.update`."""
        return old.copy_(new) if where is None else torch.where(where, new, old, out=old)

    def known_none(self, mask: Tensor) -> bool:
        """See :meth:`Backend.known_none`."""
        return False

    def known_within(self, array: Tensor, low: float, high: float) -> bool:
        """See :meth:`Backend.known_within`."""
        return False

    def fill(self, array: Tensor, rows: Tensor, value: float) -> None:
        """See :meth:`Backend.fill`."""
        array.index_fill_(0, rows, value)

    def as_int64(self, array: Tensor) -> Tensor:
        """See :meth:`Backend.as_int64`."""
        return array.to(torch.int64)

    def as_float64(self, array: Tensor) -> Tensor:
        """See :meth:`Backend.as_float64`."""
        return array.to(torch.float64)

    def as_float32(self, array: Tensor) -> Tensor:
        """See :meth:`Backend.as_float32`."""
        return array.to(torch.float32)

    def patch_bytes(self, side: int, num_channels: int) -> int:
        """See :meth:`Backend.patch_bytes`. Small patches are counted by :meth:`check_free_memory`."""
        num_bytes = side * side * num_channels * torch_kernels.BYTES_PER_PIXEL
        return num_bytes if num_bytes > torch_kernels.WORKSPACE_BYTES else 0

    def check_free_memory(self, num_bytes: int, settings: str, hint: str) -> None:
        """See :meth:`Backend.check_free_memory`."""
        needed, free = num_bytes + torch_kernels.WORKSPACE_BYTES, self.free_bytes()
        if free is not None and needed > free:
            raise ValueError(
                f"{settings} take {needed:,} bytes of memory on device {self.device!r} (of which "
                f"{torch_kernels.WORKSPACE_BYTES:,} for intermediate results), which has {free:,} bytes free: "
                f"pass {hint}, or use another device"
            )

    def free_bytes(self) -> int | None:
        """Return the free memory of the device in bytes, with what torch holds but does not use; None if unknown."""
        library = {"cuda": torch.cuda, "xpu": torch.xpu}.get(self.torch_device.type)
        if library is None:
            return None
        free = library.mem_get_info(self.torch_device)[0]
        return int(free + library.memory_reserved(self.torch_device) - library.memory_allocated(self.torch_device))

    @property
    def is_capturing(self) -> bool:
        """True while a CUDA graph is captured, when nothing may wait for the device."""
        return self.torch_device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def make_torch_backend(device: Any, compiled: bool, accepted: str) -> TorchBackend:
    """Make the backend of a torch device; see :func:`glimpse_gym.kernels.backend.make_backend`."""
    name = device.removeprefix("torch:") if isinstance(device, str) else device
    try:
        parsed = torch.device(name)
    except Exception as error:
        raise ValueError(f"device must be {accepted}; got {shown(device)}") from error
    if parsed.type == "mps":
        raise ValueError(
            f"device {shown(device)} has no 64-bit floating-point numbers, which locations need: use 'cpu', or "
            "'torch:cpu' for tensors"
        )
    if parsed.type == "meta":
        raise ValueError(f"device {shown(device)} computes no values: use one of {', '.join(_devices())}")
    try:
        found = torch.zeros(1, dtype=torch.float64, device=parsed).device
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(
            f"device {shown(device)} cannot be used ({reason}); devices of this machine: {', '.join(_devices())}"
        ) from error
    return TorchBackend(found, compiled)


def _devices() -> list[str]:
    """List the devices that can be used."""
    accelerators = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    accelerators += [f"xpu:{i}" for i in range(torch.xpu.device_count())]
    return ["'cpu'", "'torch:cpu'", *map(repr, accelerators)]
