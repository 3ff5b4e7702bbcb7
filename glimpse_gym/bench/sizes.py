"""Time per glimpse against the size of the image, in memory and from a file, beside a CNN over the whole image."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.lib import format as npy_format

from glimpse_gym.atomic_io import atomic_write, check_free_space
from glimpse_gym.bench.timing import check_seconds, seconds_per_call
from glimpse_gym.extras import require_extra
from glimpse_gym.images import build_pyramid_of
from glimpse_gym.images.pyramid import level_layout
from glimpse_gym.validation import check_integer

SIDES = (28, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768)
"""Sides of the square images in pixels."""

_ENV_ID = "glimpse_gym/Images-v0"
_PATCH_SIZE, _NUM_SCALES, _MANY_SCALES = 12, 3, 9
_MAX_IN_MEMORY = 8192
_NUM_ENVS = 256
_NUM_ROUNDS = 5
_MAX_CNN_SECONDS = 2.0
_CNN_CHANNELS = (8, 16, 16)
_HORIZON = 10_000  # glimpses of an episode, so that resets do not count

_MEMORY_PROGRAM = """
import sys, numpy as np
from glimpse_gym import Retina
from glimpse_gym.images import open_large
images = open_large(sys.argv[1])
rng = np.random.default_rng(0)
for _ in range(40):
    Retina(12, 9).sense_large(images, rng.uniform(-1, 1, (256, 2)).astype(np.float32))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["RssAnon"].split()[0]) / 1024, int(status["RssFile"].split()[0]) / 1024)
"""


class Curve(NamedTuple):
    """One thing that is timed at every size."""

    name: str
    """Heading of its column, and key of its times."""
    label: str
    """Its entry in the legend of the figure."""
    style: dict[str, Any]
    """Keyword arguments of its line in the figure."""


CURVES = (
    Curve("memory", "glimpse, image in memory", {"color": "#0072b2", "marker": "o"}),
    Curve("file", "glimpse, image in a file", {"color": "#d55e00", "marker": "s"}),
    Curve("9 scales", "9 scales, image in a file with a pyramid", {"color": "#009e73", "marker": "^"}),
    Curve("256 memory", "256 at once, images in memory", {"color": "#0072b2", "marker": "o", "ls": ":", "mfc": "w"}),
    Curve("256 file", "256 at once, images in a file", {"color": "#d55e00", "marker": "s", "ls": ":", "mfc": "w"}),
    Curve("CNN", "CNN over the whole image", {"color": "black", "marker": "D", "ls": "--"}),
)
"""The columns of the table, and the lines of the figure."""


def bench_sizes(out: Path, seconds: float = 1.0, max_side: int = SIDES[-1]) -> Iterator[str]:
    """Measure, yield a table line by line, and write it as a figure, ``out``/sizes.png.

    A glimpse is a step of ``Images-v0``: 12 x 12 cells and 3 scales, at a random location of one image of noise. In
    the columns "256" it is the time of a step of a vector env with 256 sub-envs, divided by 256. Files are read once
    before, so that they are in the page cache, and all sizes take turns for several rounds, of which the median is
    reported. The CNN has three layers of 3 x 3 filters with stride 2, and runs on one thread, for sides up to the
    first at which it takes more than two seconds.

    Args:
        out: folder of the figure; the images are in a temporary folder in it, and are removed in the end.
        seconds: duration of each measurement, over all rounds.
        max_side: the largest side to measure, at least 28.

    Raises:
        ValueError: an argument is out of range.
        OSError: the images do not fit on the disk.
        ModuleNotFoundError: torch or matplotlib is not installed.
    """
    check_seconds(seconds)
    check_integer("max_side", max_side, at_least=SIDES[0])
    require_extra("agents")
    sides = [side for side in SIDES if side <= max_side]
    out.mkdir(parents=True, exist_ok=True)
    yield f"microseconds per glimpse, {_PATCH_SIZE} x {_PATCH_SIZE} cells, {_NUM_SCALES} scales; of the CNN per image"
    with tempfile.TemporaryDirectory(prefix="sizes-", dir=out) as folder:
        steps: dict[tuple[str, int], tuple[Callable[[], object], int]] = {}
        check_free_space(
            Path(folder, "noise"), sum(side**2 + level_layout((1, side, side, 1))[-1].end for side in sides)
        )
        for side in sides:
            steps |= {(name, side): step for name, step in _make_steps(Path(folder), side)}
        found = _take_turns(steps, seconds) | {("CNN", side): each for side, each in _cnn_seconds(sides, seconds)}
        times = {key: 1e6 * each for key, each in found.items()}
        yield from _table(sides, times)
        yield from _ratios(sides, times)
        if sys.platform == "linux":
            yield _memory_of_a_process(Path(folder, f"{sides[-1]}.npy"), sides[-1])
        steps.clear()  # closes the files
    save_sizes_figure(out / "sizes.png", sides, times)
    yield f"{out / 'sizes.png'}"


def _make_steps(folder: Path, side: int) -> Iterator[tuple[str, tuple[Callable[[], object], int]]]:
    """Write an image of noise, and yield for each curve a function that takes glimpses, and how many it takes."""
    path = folder / f"{side}.npy"
    write_noise(path, side)
    build_pyramid_of(path)
    if side <= _MAX_IN_MEMORY:
        image = np.load(path)[None]
        yield "memory", (_single_step(image, _NUM_SCALES), 1)
        yield f"{_NUM_ENVS} memory", (_vector_step(image, _NUM_SCALES), _NUM_ENVS)
    np.load(path, mmap_mode="r").max()  # into the page cache
    yield "file", (_single_step(str(path), _NUM_SCALES), 1)
    yield "9 scales", (_single_step(str(path), _MANY_SCALES), 1)
    yield f"{_NUM_ENVS} file", (_vector_step(str(path), _NUM_SCALES), _NUM_ENVS)


def write_noise(path: Path, side: int) -> None:
    """Write a ``.npy`` of uint8 (side, side) of noise, some rows at a time."""
    rng = np.random.default_rng(side)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        npy_format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (side, side)})
        for top in range(0, side, 256):
            file.write(rng.integers(0, 256, (min(256, side - top), side), np.uint8).data)


def _kwargs(images: Any, num_scales: int) -> dict[str, Any]:
    retina = {"patch_size": _PATCH_SIZE, "num_scales": num_scales, "num_glimpses": _HORIZON}
    return retina | {"images": images, "labels": [0], "split": "all"}


def _single_step(images: Any, num_scales: int) -> Callable[[], object]:
    """Make a function that takes a glimpse through ``gym.make``."""
    env = gym.make(_ENV_ID, **_kwargs(images, num_scales))
    rng = np.random.default_rng(0)
    locations = rng.uniform(-1, 1, (4096, 2)).astype(np.float32)
    actions = itertools.cycle([{"next_location": location, "label": 0} for location in locations])
    env.reset(seed=0)

    def step() -> None:
        if env.step(next(actions))[2]:
            env.reset()

    step()  # compiles the kernels
    return step


def _vector_step(images: Any, num_scales: int) -> Callable[[], object]:
    """Make a function that takes a glimpse in every sub-env."""
    envs = gym.make_vec(_ENV_ID, num_envs=_NUM_ENVS, **_kwargs(images, num_scales))
    locations = np.random.default_rng(0).uniform(-1, 1, (64, _NUM_ENVS, 2)).astype(np.float32)
    labels = np.zeros(_NUM_ENVS, np.int64)
    actions = itertools.cycle([{"next_location": each, "label": labels} for each in locations])
    envs.reset(seed=0)

    def step() -> None:
        envs.step(next(actions))

    step()
    return step


def _take_turns(steps: dict[Any, tuple[Callable[[], object], int]], seconds: float) -> dict[Any, float]:
    """Return the seconds of one glimpse of each function, as a median over rounds in which all take turns."""
    found: dict[Any, list[float]] = {key: [] for key in steps}
    for _ in range(_NUM_ROUNDS + 1):  # the first touches the pages that the others touch again
        for key, (step, count) in steps.items():
            found[key].append(seconds_per_call(step, seconds / _NUM_ROUNDS, calls_at_once=10) / count)
    return {key: statistics.median(values[1:]) for key, values in found.items()}


def _cnn_seconds(sides: list[int], seconds: float) -> Iterator[tuple[int, float]]:
    """Yield sides and the seconds that the CNN takes for one image, up to the first that takes too long."""
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise((1, *_CNN_CHANNELS)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(_CNN_CHANNELS[-1], 10))
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for side in sides:
            image = torch.randint(0, 256, (1, 1, side, side), dtype=torch.uint8)
            with torch.inference_mode():
                found = []
                for _ in range(_NUM_ROUNDS):
                    start = time.perf_counter()
                    network(image / 255)
                    found.append(time.perf_counter() - start)
                    if sum(found) > max(seconds, _MAX_CNN_SECONDS):
                        break
            yield side, statistics.median(found)
            if statistics.median(found) > _MAX_CNN_SECONDS:
                break
    finally:
        torch.set_num_threads(num_threads)


def _table(sides: list[int], times: dict[tuple[str, int], float]) -> Iterator[str]:
    yield f"{'side':>8}" + "".join(f"{curve.name:>14}" for curve in CURVES)
    for side in sides:
        cells = (f"{times[curve.name, side]:,.1f}" if (curve.name, side) in times else "-" for curve in CURVES)
        yield f"{side:>8}" + "".join(f"{cell:>14}" for cell in cells)


def _ratios(sides: list[int], times: dict[tuple[str, int], float]) -> Iterator[str]:
    smallest = sides[0]
    largest = max(side for side in sides if ("memory", side) in times)
    for name, side in (("memory", largest), ("file", sides[-1])):
        for prefix in ("", f"{_NUM_ENVS} "):
            ratio = times[f"{prefix}{name}", side] / times[f"{prefix}memory", smallest]
            yield f"{prefix}{name}, {side} pixels, against {prefix}memory, {smallest} pixels: {ratio:.2f} times"


def _memory_of_a_process(path: Path, side: int) -> str:
    """Measure the memory of a process that takes 10,240 glimpses of 9 scales from a file."""
    command = [sys.executable, "-c", _MEMORY_PROGRAM, str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    own, mapped = map(float, output.split())
    return f"memory of a process with the file of {side} pixels: {own:,.0f} MiB, and {mapped:,.0f} MiB of page cache"


def save_sizes_figure(path: Path, sides: list[int], times: dict[tuple[str, int], float]) -> None:
    """Draw times in microseconds, by name of the curve and side in pixels, against the side, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    for curve in CURVES:
        points = [(side, times[curve.name, side]) for side in sides if (curve.name, side) in times]
        axes.loglog(*zip(*points, strict=True), label=curve.label, ms=5, lw=1.5, **curve.style)
        if curve.name == "CNN":
            side, microseconds = points[-1]
            axes.annotate(f"{microseconds / 1e6:.2g} s", (side, microseconds), (8, -3), textcoords="offset points")
    axes.set_xticks(sides, [f"{side:,}" for side in sides], rotation=30)
    axes.minorticks_off()
    axes.set(xlabel="side of the image in pixels", ylabel="microseconds")
    axes.set_title("Time per glimpse (12 × 12 cells, 3 scales) and per image of a CNN", fontsize=11)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=150)
