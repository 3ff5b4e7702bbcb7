"""The paper's baselines, and a modern one: networks that see the whole image at once.

An env whose one glimpse is as wide as the image shows all of it: ``patch_size`` the image's side, ``num_scales=1``,
``num_glimpses=1`` and ``first_glimpse="center"``. There they learn and are measured as a RAM is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor, nn
from torch.nn import functional

from glimpse_gym.agents.base import Losses, Task, TaskAgent
from glimpse_gym.agents.configs import check_knobs, knob
from glimpse_gym.validation import check_choice


@dataclass(frozen=True)
class ClassifierConfig:
    """Which network."""

    network: str = knob(
        "full",
        "'full': two fully connected layers of rectifiers; 'conv': the paper's, 8 filters of 10 x 10 at stride 5, then "
        "rectifiers; 'cnn': four convolutions of 3 x 3 with batch normalization, two poolings, a maximum over places",
    )
    units: int = knob(256, "rectifiers of each fully connected layer; of 'cnn', filters of its last convolutions")

    def __post_init__(self) -> None:
        check_knobs(self, at_least={"units": 1})
        check_choice("network", self.network, tuple(_NETWORKS))
        if self.network == "cnn" and self.units < 4:
            raise ValueError(f"units must be at least 4 for network='cnn', got {self.units}")


def _full(shape: tuple[int, ...], num_classes: int, units: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(int(np.prod(shape)), units),
        nn.ReLU(),
        nn.Linear(units, units),
        nn.ReLU(),
        nn.Linear(units, num_classes),
    )


def _conv(shape: tuple[int, ...], num_classes: int, units: int) -> nn.Sequential:
    depth, rows, columns = shape
    if min(rows, columns) < 10:
        raise ValueError(f"network='conv' takes images of at least 10 x 10 pixels, got {rows} x {columns}")
    places = ((rows - 10) // 5 + 1) * ((columns - 10) // 5 + 1)
    return nn.Sequential(
        nn.Conv2d(depth, 8, 10, stride=5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * places, units),
        nn.ReLU(),
        nn.Linear(units, num_classes),
    )


def _cnn(shape: tuple[int, ...], num_classes: int, units: int) -> nn.Sequential:
    if min(shape[1:]) < 4:
        raise ValueError(f"network='cnn' takes images of at least 4 x 4 pixels, got {shape[1]} x {shape[2]}")

    def convolution(before: int, after: int, stride: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

    return nn.Sequential(
        *convolution(shape[0], units // 4, stride=2 if shape[1] > 28 else 1),
        nn.MaxPool2d(2),
        *convolution(units // 4, units // 2),
        nn.MaxPool2d(2),
        *convolution(units // 2, units),
        *convolution(units, units),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(units, num_classes),
    )


_NETWORKS = {"full": _full, "conv": _conv, "cnn": _cnn}


class Classifier(TaskAgent):
    """A network on one glimpse, and an agent: batched, for the vector env it was made for.

    Args:
        task: what it is made for.
        config: the knobs.
    """

    def __init__(self, task: Task, config: ClassifierConfig | None = None) -> None:
        super().__init__(task, config or ClassifierConfig())
        self.network = _NETWORKS[self.config.network](task.glimpse_shape, task.num_choices, self.config.units)

    @torch.no_grad()
    def act(
        self, observation: dict[str, np.ndarray], state: None, sample: bool = False
    ) -> tuple[dict[str, np.ndarray], None]:
        """Name what is seen, ``label`` int64 (B,), and look at the center, ``location`` float32 (B, 2)."""
        return self._action(self._logits(observation)), None

    def learn_from(self, envs: VectorEnv[Any, Any, Any], seeds: list[int], copies: int) -> tuple[Losses, Tensor]:
        """As :meth:`glimpse_gym.agents.ram.RAM.learn_from`."""
        observation, _ = envs.reset(seed=seeds)  # type: ignore[arg-type]
        logits = self._logits(observation)
        ended = np.zeros(envs.num_envs, np.bool_)
        while not ended.all():
            _, _, ended, _, infos = envs.step(self._action(logits))
        loss = functional.cross_entropy(logits, torch.from_numpy(infos["label"]))
        zero = loss.new_zeros(())
        return Losses(loss, loss, zero, zero), torch.from_numpy(infos["correct"])

    def _logits(self, observation: dict[str, np.ndarray]) -> Tensor:
        return self.network(torch.from_numpy(observation["glimpse"]))

    @staticmethod
    def _action(logits: Tensor) -> dict[str, np.ndarray]:
        label = logits.detach().argmax(-1).numpy()
        return {"label": label, "location": np.zeros((len(label), 2), np.float32)}
