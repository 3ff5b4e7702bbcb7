"""Backends: the array library and device that a world computes with, chosen once, when the env is made.

The rules of a world are written once. They use indexing, operators and methods that NumPy arrays and torch tensors
share, and take the rest from the backend: the kernels, new arrays, and the operations below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from glimpse_gym.validation import check_choice, extremes, shown

Array = Any
"""Array of the backend: a NumPy array, or a torch tensor on the backend's device."""


class Backend(ABC):
    """Array library and device. Shapes and dtypes are those of NumPy; "array" means an array of this backend."""

    device: str
    """``"cpu"`` for NumPy arrays; ``"torch:cpu"`` or the name of another torch device for torch tensors."""

    # Functions of the array library, with the arguments that NumPy and torch share. Class attributes, because a call
    # through a method takes as long as the function itself on the arrays of a single env.
    minimum: ClassVar[Callable[..., Array]]
    """Elementwise minimum of two arrays."""
    concatenate: ClassVar[Callable[..., Array]]
    """Concatenate a sequence of arrays along an axis; both arguments are positional."""
    stack: ClassVar[Callable[..., Array]]
    """Stack a sequence of arrays along a new axis; both arguments are positional."""
    copy: ClassVar[Callable[..., Array]]
    """Copy an array."""
    kernels: Any
    """``sense``, ``compose`` and ``uniforms``, as a module or an object that has them."""

    @abstractmethod
    def zeros(self, shape: int | Sequence[int], dtype: Any) -> Array:
        """Make an array of zeros of a NumPy dtype."""

    @abstractmethod
    def zeros_like(self, array: Array) -> Array:
        """Make an array of zeros with the shape and dtype of another."""

    @abstractmethod
    def is_array(self, value: Any) -> bool:
        """Return whether a value is an array of this library, on any device."""

    @abstractmethod
    def from_host(self, array: np.ndarray) -> Array:
        """Convert a NumPy array, which may be the result. A copy to a device does not wait for the device."""

    @abstractmethod
    def share(self, array: np.ndarray, owner: object = None) -> Array:
        """Convert a NumPy array. Worlds that convert the same one, for the same owner, share the result.

        Args:
            array: nobody changes it while its owner exists.
            owner: object that the array was made for; None if nobody ever changes the array.
        """

    @abstractmethod
    def to_host(self, array: Array) -> np.ndarray:
        """Convert to a NumPy array, which may be the given one. Waits for the device if it is another one."""

    @abstractmethod
    def clip(self, array: Array, low: Array, high: Array) -> Array:
        """Clip an array, as a new array. The limits are arrays of its dtype."""

    @abstractmethod
    def copyto(self, target: Array, source: Array, where: Array) -> None:
        """Overwrite ``target`` where a mask, bool, is True; of equal dtypes. ``source`` and the mask are broadcast."""

    @abstractmethod
    def update(self, old: Array, new: Array, where: Array | None = None) -> Array:
        """Return an array to be stored in place of ``old``: ``new``, or only where a mask is True; of equal dtypes.

        All have the same shape. On a device the result is ``old``, overwritten, so that a captured step finds the
        state where it was. NumPy is faster without a copy: it is ``new``, if the mask is True everywhere.
        """

    @abstractmethod
    def known_none(self, mask: Array) -> bool:
        """Return whether a mask, bool (B,), is known to be False everywhere.

        On a device the answer is always False, because reading the mask would wait for the device.
        Where it is True, a world may leave out work that would change nothing.
        """

    @abstractmethod
    def known_within(self, array: Array, low: float, high: float) -> bool:
        """Return whether all numbers are known to be from ``low`` to ``high``; see :meth:`known_none`."""

    @abstractmethod
    def fill(self, array: Array, rows: Array, value: float) -> None:
        """Overwrite some rows of an array, int64 (R,), with a number."""

    @abstractmethod
    def as_int64(self, array: Array) -> Array:
        """Convert to int64, rounding toward 0, as a new array."""

    @abstractmethod
    def as_float64(self, array: Array) -> Array:
        """Convert to float64, as a new array."""

    @abstractmethod
    def as_float32(self, array: Array) -> Array:
        """Convert to float32, as a new array."""

    def integers_below(self, draws: Array, sizes: Array | int) -> Array:
        """Turn uniform numbers in [0, 1), float64, into integers from 0 to ``sizes - 1``, int64. Shapes broadcast."""
        return self.as_int64(draws * sizes)

    def patch_bytes(self, side: int, num_channels: int) -> int:
        """Return the memory in bytes that a patch of this side takes while it is sensed, beside the glimpse."""
        return 0

    def check_free_memory(self, num_bytes: int, settings: str, hint: str) -> None:
        """Check that the device has this much free memory, where that is known, before it is allocated.

        Args:
            num_bytes: bytes needed.
            settings: the settings that determine it, with their values, for the error message.
            hint: what to change, for the error message.

        Raises:
            ValueError: if it has less.
        """
        return


class NumpyBackend(Backend):
    """NumPy arrays, and kernels compiled by Numba."""

    device = "cpu"
    minimum = staticmethod(np.minimum)
    concatenate = staticmethod(np.concatenate)
    stack = staticmethod(np.stack)
    copy = staticmethod(np.ndarray.copy)

    @cached_property
    def kernels(self) -> Any:
        """See :class:`Backend`. On first use, because importing Numba takes as long as all other imports together."""
        from glimpse_gym.kernels import numpy_kernels

        return numpy_kernels

    def __reduce__(self) -> tuple[Any, ...]:
        return NumpyBackend, ()  # modules cannot be copied or pickled

    def zeros(self, shape: int | Sequence[int], dtype: Any) -> np.ndarray:
        """See :meth:`Backend.zeros`."""
        return np.zeros(shape, dtype)

    def zeros_like(self, array: np.ndarray) -> np.ndarray:
        """See :meth:`Backend.zeros_like`."""
        return np.zeros_like(array)

    def is_array(self, value: Any) -> bool:
        """See :meth:`Backend.is_array`."""
        return isinstance(value, np.ndarray)

    def from_host(self, array: np.ndarray) -> np.ndarray:
        """See :meth:`Backend.from_host`."""
        return array

    def share(self, array: np.ndarray, owner: object = None) -> np.ndarray:
        """See :meth:`Backend.share`."""
        return array

    def to_host(self, array: np.ndarray) -> np.ndarray:
        """See :meth:`Backend.to_host`."""
        return array

    def clip(self, array: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """See :meth:`Backend.clip`."""
        return np.minimum(np.maximum(array, low), high)

    def copyto(self, target: np.ndarray, source: np.ndarray, where: np.ndarray) -> None:
        """See :meth:`Backend.copyto`."""
        if _all_true(where):
            target[...] = source
        else:
            np.copyto(target, source, where=where)

    def update(self, old: np.ndarray, new: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """See :meth:`Backend.update`."""
        return new if where is None or _all_true(where) else np.where(where, new, old)

    def known_none(self, mask: np.ndarray) -> bool:
        """See :meth:`Backend.known_none`. For short arrays ten times as fast as ``not mask.any()``."""
        return 1 not in mask.tobytes()

    def known_within(self, array: np.ndarray, low: float, high: float) -> bool:
        """See :meth:`Backend.known_within`."""
        lowest, highest = extremes(array)
        return bool(lowest >= low and highest <= high)

    def fill(self, array: np.ndarray, rows: np.ndarray, value: float) -> None:
        """See :meth:`Backend.fill`."""
        array[rows] = value

    def as_int64(self, array: np.ndarray) -> np.ndarray:
        """See :meth:`Backend.as_int64`."""
        return array.astype(np.int64)

    def as_float64(self, array: np.ndarray) -> np.ndarray:
        """See :meth:`Backend.as_float64`."""
        return array.astype(np.float64)

    def as_float32(self, array: np.ndarray) -> np.ndarray:
        """See :meth:`Backend.as_float32`."""
        return array.astype(np.float32)


def _all_true(mask: np.ndarray) -> bool:
    """Return whether a mask is True everywhere; for short arrays ten times as fast as ``mask.all()``."""
    return 0 not in mask.tobytes()


NUMPY = NumpyBackend()
"""Default backend."""

_ACCEPTED = (
    "'cpu' (NumPy arrays), 'torch:cpu' (torch tensors on the CPU), or the name of another torch device, such as 'cuda' "
    "or 'cuda:1'"
)


def make_backend(device: Any, compiled: bool = False) -> Backend:
    """Make the backend of a device.

    Args:
        device: ``"cpu"`` for NumPy arrays, ``"torch:cpu"`` for torch tensors on the CPU, or another torch device or its
            name, such as ``"cuda"`` or ``"cuda:1"``.
        compiled: compile the kernel that computes glimpses with ``torch.compile``. NumPy's are always compiled.

    Raises:
        ModuleNotFoundError: if the device needs torch, and torch is not installed.
        ValueError: if the device is unknown, does not exist on this machine or has no 64-bit numbers, or ``compiled``
            is not a bool.
    """
    compiled = check_choice("compiled", compiled, (False, True))
    if isinstance(device, str) and device == "cpu":
        return NUMPY
    if not isinstance(device, str) and type(device).__module__ != "torch":
        raise ValueError(f"device must be {_ACCEPTED}; got {shown(device)}")
    if find_spec("torch") is None:
        raise ModuleNotFoundError(
            f"device={shown(device)} needs torch, which is not installed: pip install torch, or use device='cpu'",
            name="torch",
        )
    from glimpse_gym.kernels.torch_backend import make_torch_backend

    return make_torch_backend(device, compiled, _ACCEPTED)
