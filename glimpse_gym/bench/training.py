"""Training speed: episodes per second, and the share of the speed at which the machine multiplies matrices.

The multiply-adds of an update are counted from the matrix products that it computes. The same products are then timed
one by one: the sum of their times is the floor of an update, which would consist of nothing else.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from glimpse_gym.agents.configs import RAMConfig, ReinforceConfig
from glimpse_gym.agents.learner import Learner
from glimpse_gym.agents.reinforce import Reinforce
from glimpse_gym.bench.timing import check_seconds, seconds_per_call
from glimpse_gym.bench.worlds import describe_machine

PARTS = ("env", "forward", "backward", "optimizer")
_NUM_ROUNDS = 5
_MIN_SECONDS = 0.02  # of the timing of one product
_CASES: tuple[tuple[str, str, dict[str, Any], RAMConfig, ReinforceConfig], ...] = (
    ("default agent, batch 512", "glimpse_gym/ClutteredMNIST-v0", {}, RAMConfig(), ReinforceConfig()),
    ("default agent, batch 128", "glimpse_gym/ClutteredMNIST-v0", {}, RAMConfig(), ReinforceConfig(batch_size=128)),
    (
        "paper's networks, batch 512",
        "glimpse_gym/MNIST-v0",
        {"num_glimpses": 6},
        RAMConfig(glimpse_network="fc", glimpse_units=128, location_units=128, core="relu"),
        ReinforceConfig(optimizer="adam", loss_weighting="last", pathwise_max_norm=0.0),
    ),
)


class Product(NamedTuple):
    """Matrix product of (m, k) and (k, n) matrices."""

    m: int
    k: int
    n: int
    batch: int
    left_is_transposed: bool
    right_is_transposed: bool


class ProductCounter(TorchDispatchMode):
    """Context manager that counts the matrix products computed in it, of any operation that torch computes as one."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        if name in ("mm", "bmm"):
            self._count(*args[:2])
        elif name in ("addmm", "addmm_", "baddbmm"):
            self._count(*args[1:3])
        elif "conv" in name or "attention" in name:
            raise NotImplementedError(f"the multiply-adds of {name} are not counted")
        return function(*args, **(kwargs or {}))

    def _count(self, left: torch.Tensor, right: torch.Tensor) -> None:
        (m, k), n = left.shape[-2:], right.shape[-1]
        batch = left.shape[0] if left.ndim == 3 else 1
        self.products[Product(m, k, n, batch, left.stride(-1) != 1, right.stride(-1) != 1)] += 1

    @property
    def num_operations(self) -> int:
        """Floating-point operations, two per multiply-add."""
        return sum(2 * each.batch * each.m * each.k * each.n * count for each, count in self.products.items())


class Report(NamedTuple):
    """Speed of training."""

    episodes_per_second: float
    gflops: float
    """Floating-point operations of matrix products, in 10**9 per second of training."""
    matmul_gflops: float
    """The same per second of the same products alone."""
    shares: dict[str, float]
    """Fraction of the time that each of PARTS takes."""

    @property
    def share(self) -> float:
        """Share of the matmul rate."""
        return self.gflops / self.matmul_gflops


def bench_training(seconds: float) -> Iterator[str]:
    """Measure training of several agents on one thread, and yield the report line by line.

    Args:
        seconds: duration of each measurement.

    Raises:
        ValueError: if ``seconds`` is not greater than 0.
    """
    check_seconds(seconds)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield f"{describe_machine()}\n\ntraining, one thread"
        for name, env_id, env_kwargs, policy_config, config in _CASES:
            learner = Reinforce(env_id, env_kwargs, config, policy_config)
            report = measure(learner, seconds)
            parts = ", ".join(f"{part} {report.shares[part]:.0%}" for part in PARTS)
            yield f"  {name}, {env_id}, {learner.horizon} glimpses"
            yield (
                f"    {report.episodes_per_second:,.0f} episodes/s, {report.gflops:.1f} of {report.matmul_gflops:.1f} "
                f"GFLOP/s: {report.share:.0%} of the matmul rate; {parts}"
            )
    finally:
        torch.set_num_threads(num_threads)


def measure(learner: Learner, seconds: float) -> Report:
    """Measure the speed of a learner and of its matrix products, in turns: medians over several rounds."""
    learner.update()  # compiles the kernels
    with ProductCounter() as counter:
        learner.update()
    update_times, floors = [], []
    for _ in range(_NUM_ROUNDS):
        update_times.append(seconds_per_call(learner.update, seconds / _NUM_ROUNDS))
        floors.append(sum(_product_seconds(each) * count for each, count in counter.products.items()))
    update_time, floor = statistics.median(update_times), statistics.median(floors)
    return Report(
        learner.config.batch_size / update_time,
        counter.num_operations / update_time / 1e9,
        counter.num_operations / floor / 1e9,
        _measure_shares(learner, seconds / _NUM_ROUNDS),
    )


def _measure_shares(learner: Learner, seconds: float) -> dict[str, float]:
    """Measure the fraction of the time that each of PARTS takes."""
    times: dict[str, float] = defaultdict(float)
    timed = [(learner.envs, "reset", "env"), (learner.envs, "step", "env"), (learner, "_optimizer_step", "gradients")]
    timed += [(optimizer, "step", "optimizer") for optimizer in learner.optimizers]
    undo = [_timed(owner, method, name, times) for owner, method, name in timed]
    undo.append(_timed(learner, "update", "total", times))
    seconds_per_call(learner.update, seconds)
    for function in undo:
        function()
    times["backward"] = times["gradients"] - times["optimizer"]
    times["forward"] = times["total"] - times["env"] - times["gradients"]
    return {part: times[part] / times["total"] for part in PARTS}


def _product_seconds(product: Product) -> float:
    """Time one product, with operands of the same layout."""
    m, k, n, batch, left_is_transposed, right_is_transposed = product

    def matrix(rows: int, columns: int, is_transposed: bool) -> torch.Tensor:
        return torch.ones(batch, columns, rows).mT if is_transposed else torch.ones(batch, rows, columns)

    left, right = matrix(m, k, left_is_transposed), matrix(k, n, right_is_transposed)
    out = torch.empty(batch, m, n)
    if batch == 1:
        left, right, out = left[0], right[0], out[0]
    return seconds_per_call(lambda: torch.matmul(left, right, out=out), _MIN_SECONDS)


def _timed(owner: Any, method: str, name: str, seconds: dict[str, float]) -> Callable[[], None]:
    """Add the time spent in a method of an object to ``seconds[name]``, until the returned function is called."""
    function = getattr(owner, method)

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = function(*args, **kwargs)
        seconds[name] += time.perf_counter() - start
        return result

    setattr(owner, method, call)
    return lambda: delattr(owner, method)
