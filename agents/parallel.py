"""Data-parallel training: what the processes of a run exchange, through :mod:`torch.distributed`.

Every process has the same policy, plays its rows of each batch of episodes, and computes the gradient of their loss.
The gradients are averaged over the processes. Then each weight is updated by one of them, its owner, and sent to the
others: expensive optimizer steps are computed once, and the weights are equal in all processes, whatever the machines.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import compress
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from glimpse_gym.agents.launcher import ProcessInfo
from glimpse_gym.interrupts import handled_interrupts

_TIMEOUT = timedelta(minutes=10)  # longer than an evaluation, during which the other processes wait


class PeerLostError(RuntimeError):
    """Another process of the run has failed or ended, or does not answer."""


class Parallel:
    """One process of a run; this base class is the only process of its run, for which all is trivial."""

    rank = 0
    """Number of the process, from 0. Process 0 writes the files of the run."""
    world_size = 1
    """P, the number of processes."""

    def own_rows(self, batch_size: int) -> slice:
        """Return which rows of a batch are this process's. The batch size must be a multiple of P."""
        size = batch_size // self.world_size
        return slice(self.rank * size, (self.rank + 1) * size)

    def sample(self, sampler: Callable[[Tensor], Tensor], parameters: Tensor) -> Tensor:
        """Sample from a distribution for this process's b rows what one process would sample for all b * P rows.

        All processes draw for all rows, so that their random generators stay equal.

        Args:
            sampler: samples all rows of the tensor that it is given; each must depend on its row alone.
            parameters: of the distributions of this process's rows, (b, ...).
        """
        samples = sampler(torch.cat([parameters] * self.world_size))
        return samples[self.own_rows(len(samples))]

    def all_rows(self, values: Tensor) -> Tensor:
        """Return the values of all rows, float32 (..., b * P), on the CPU.

        Args:
            values: of this process's rows, float32 (..., b).
        """
        return values.cpu()

    def average(self, weights: Sequence[Tensor], values: dict[str, Tensor]) -> dict[str, float]:
        """Average the gradients of weights, in place, and scalars over the processes.

        Args:
            weights: those without a gradient must be the same in all processes.
            values: scalars, by name.

        Returns:
            The means of the values.
        """
        return dict(zip(values, _stack(values).tolist(), strict=True))

    def share(self, weights: Sequence[Tensor], owners: Sequence[int]) -> None:
        """Replace each weight by that of the process that owns it."""

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is set in any process."""
        return flags

    def broadcast(self, value: Any) -> Any:
        """Return the value of process 0, which must be picklable."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, which must be picklable, in order; an empty list except in process 0."""
        return [value]

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """Context manager at whose end all processes raise an error if one of them has raised an error in it.

        Raises:
            PeerLostError: if another process is the first that has failed; otherwise, its own error.
        """
        yield

    def close(self) -> None:
        """Leave the other processes."""


class ProcessGroup(Parallel):
    """One of several processes. A method called in one must be called in all, in the same order.

    All methods raise PeerLostError if another process has ended, or does not answer within ten minutes.

    Args:
        info: place of this process.
        device: of the policy: ``"cpu"``, whose tensors are exchanged through gloo, or ``"cuda"``, through nccl; this
            process takes the GPU of number ``local_rank``.

    Raises:
        ValueError: if several processes cannot use the device.
    """

    def __init__(self, info: ProcessInfo, device: str = "cpu") -> None:
        self.rank, self.world_size, self._launcher = info.rank, info.world_size, info.launcher
        backend = "gloo"
        if device.removeprefix("torch:") != "cpu":
            _take_cuda_device(device, info)
            backend = "cpu:gloo,cuda:nccl"
        # Signals end the process at once: handlers in Python are not called during the wait for the other processes.
        with self._peer_errors(), handled_interrupts(signal.SIG_DFL):
            dist.init_process_group(
                backend,
                init_method=info.init_method,
                rank=info.rank,
                world_size=info.world_size,
                timeout=_TIMEOUT,
            )
        self._buffer = torch.empty(0)

    def all_rows(self, values: Tensor) -> Tensor:
        """See :meth:`Parallel.all_rows`."""
        own = values.cpu().contiguous()
        parts = [torch.empty_like(own) for _ in range(self.world_size)]
        with self._peer_errors():
            dist.all_gather(parts, own)
        return torch.cat(parts, dim=-1)

    def average(self, weights: Sequence[Tensor], values: dict[str, Tensor]) -> dict[str, float]:
        """See :meth:`Parallel.average`. There is one exchange, and the gradients become views of its buffer."""
        trained = [(weight, weight.grad) for weight in weights if weight.grad is not None]
        numbers = _stack(values)
        *gradients, means = self._views([*(gradient for _, gradient in trained), numbers])
        torch._foreach_copy_([*gradients, means], [*(gradient for _, gradient in trained), numbers])
        with self._peer_errors():
            dist.all_reduce(self._buffer)
        self._buffer.div_(self.world_size)
        for (weight, _), gradient in zip(trained, gradients, strict=True):
            weight.grad = gradient
        return dict(zip(values, means.tolist(), strict=True))

    def _views(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return views of the buffer, which is made to fit, with the shapes of some tensors."""
        sizes = [each.numel() for each in tensors]
        if len(self._buffer) != sum(sizes) or self._buffer.device != tensors[0].device:
            self._buffer = torch.empty(sum(sizes), device=tensors[0].device)
        return [part.view_as(each) for part, each in zip(self._buffer.split(sizes), tensors, strict=True)]

    @torch.no_grad()
    def share(self, weights: Sequence[Tensor], owners: Sequence[int]) -> None:
        """See :meth:`Parallel.share`. There is one exchange for each owner."""
        parts = {owner: list(compress(weights, [each == owner for each in owners])) for owner in sorted({*owners})}
        flat = {owner: torch.cat([weight.flatten() for weight in part]) for owner, part in parts.items()}
        with self._peer_errors():
            for work in [dist.broadcast(tensor, owner, async_op=True) for owner, tensor in flat.items()]:
                work.wait()
        for owner, part in parts.items():
            if owner != self.rank:
                received = flat[owner].split([weight.numel() for weight in part])
                torch._foreach_copy_(part, [each.view_as(w) for each, w in zip(received, part, strict=True)])

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """See :meth:`Parallel.any`. If the process that started this one was killed, the first flag is set: a stop."""
        is_orphan = self._launcher is not None and os.getppid() != self._launcher
        found = torch.tensor([flags[0] or is_orphan, *flags[1:]], dtype=torch.uint8)
        with self._peer_errors():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return tuple(map(bool, found.tolist()))

    def broadcast(self, value: Any) -> Any:
        """See :meth:`Parallel.broadcast`."""
        values = [value]
        with self._peer_errors():
            dist.broadcast_object_list(values, device=torch.device("cpu"))
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """See :meth:`Parallel.gather`."""
        values = [None] * self.world_size if self.rank == 0 else None
        with self._peer_errors():
            dist.gather_object(value, values)
        return values or []

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """See :meth:`Parallel.failing_together`."""
        error: Exception | None = None
        try:
            yield
        except Exception as raised:
            error = raised
        has_failed = [False] * self.world_size
        with self._peer_errors():
            dist.all_gather_object(has_failed, error is not None)
        failed = [rank for rank in range(self.world_size) if has_failed[rank]]
        if error and failed[0] == self.rank:
            raise error
        if failed:
            raise PeerLostError(f"process {failed[0]} of {self.world_size} has failed, and printed why") from error

    @contextmanager
    def _peer_errors(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # all errors of torch.distributed
            reason = re.sub(r"^\[\S+\] ", "", str(error)).partition(". ")[0].partition("\n")[0]
            raise PeerLostError(
                f"process {self.rank} of {self.world_size} has lost the others: one of them has ended, or did not "
                f"answer for {_TIMEOUT.seconds // 60} minutes ({reason:.200}); the same command with --resume resumes "
                "from the state that was saved last"
            ) from error

    def close(self) -> None:
        """See :meth:`Parallel.close`."""
        dist.destroy_process_group()


def _take_cuda_device(device: str, info: ProcessInfo) -> None:
    if device.removeprefix("torch:") != "cuda":
        raise ValueError(f"several processes train on device 'cpu' or 'cuda', each on a GPU of its own, got {device!r}")
    number = torch.cuda.device_count()
    if info.local_rank >= number:
        raise ValueError(
            f"process {info.rank} of {info.world_size} is number {info.local_rank} on its machine, which has {number} "
            "GPUs: start at most one process for each GPU, or train on device 'cpu'"
        )
    torch.cuda.set_device(info.local_rank)


@contextmanager
def joined(info: ProcessInfo | None, device: str = "cpu") -> Iterator[Parallel]:
    """Context manager that joins the processes of a run.

    Args:
        info: from :func:`glimpse_gym.agents.launcher.process_info`; None for the only process of its run.
        device: of the policy, as in ``TrainConfig``.

    Raises:
        PeerLostError: if the others cannot be reached.
        ValueError: if several processes cannot use the device.
    """
    parallel = Parallel() if info is None or info.world_size == 1 else ProcessGroup(info, device)
    has_lost_peers = False
    try:
        yield parallel
    except PeerLostError:
        has_lost_peers = True
        raise
    finally:
        if not has_lost_peers:  # gloo may abort a process that leaves others that have ended
            parallel.close()


def choose_owners(costs: Sequence[float], world_size: int) -> list[int]:
    """Distribute work over the processes so that each has about as much: a process for each cost, the largest first."""
    totals, owners = [0.0] * world_size, [0] * len(costs)
    for index in sorted(range(len(costs)), key=lambda index: -costs[index]):
        owner = totals.index(min(totals))
        totals[owner] += costs[index]
        owners[index] = owner
    return owners


def _stack(values: dict[str, Tensor]) -> Tensor:
    return torch.stack([value.detach().float() for value in values.values()]) if values else torch.empty(0)
