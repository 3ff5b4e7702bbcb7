"""Whole-image classifiers: the paper's baselines and a modern convolutional network.

Classifiers are trained and evaluated in envs whose only glimpse covers the whole image: ``patch_size`` is the side of
the image, ``num_scales=1``, ``num_glimpses=1`` and ``first_glimpse="center"``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from glimpse_gym.agents.base import Decision, Policy, TaskSpec
from glimpse_gym.agents.configs import ClassifierConfig
from glimpse_gym.agents.tensor_envs import to_arrays


def _fc(shape: tuple[int, ...], num_classes: int, units: int) -> nn.Sequential:
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
        raise ValueError(f"network='conv' needs images of at least 10 x 10 pixels, got {rows} x {columns}")
    num_positions = ((rows - 10) // 5 + 1) * ((columns - 10) // 5 + 1)
    return nn.Sequential(
        nn.Conv2d(depth, 8, 10, stride=5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * num_positions, units),
        nn.ReLU(),
        nn.Linear(units, num_classes),
    )


def _cnn(shape: tuple[int, ...], num_classes: int, units: int) -> nn.Sequential:
    if min(shape[1:]) < 4:
        raise ValueError(f"network='cnn' needs images of at least 4 x 4 pixels, got {shape[1]} x {shape[2]}")

    def convolution(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
        return [
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        ]

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


_NETWORKS = {"fc": _fc, "conv": _conv, "cnn": _cnn}


class Classifier(Policy):
    """Whole-image classifier: a network on one glimpse, and a policy that always looks at the center.

    Args:
        task_spec: task that the policy is made for.
        config: the network.
    """

    config: ClassifierConfig

    def __init__(self, task_spec: TaskSpec, config: ClassifierConfig | None = None) -> None:
        super().__init__(task_spec, config or ClassifierConfig())
        make_network = _NETWORKS[self.config.network]
        self.network = make_network(task_spec.glimpse_shape, task_spec.num_choices, self.config.units)

    def forward(self, glimpse: Tensor) -> Tensor:
        """Compute the logits of the labels, (B, K), from glimpses of whole images, (B, C, H, W)."""
        return self.network(glimpse)

    @torch.no_grad()
    def decide(self, observation: dict[str, np.ndarray], state: None, sample: bool = False) -> Decision:
        """See :meth:`Policy.decide`. The next location is always the center."""
        logits = self(torch.as_tensor(observation["glimpse"], device=self.device))
        return Decision(to_arrays(self.to_action(logits)), None, to_arrays(logits.softmax(-1)))

    def to_action(self, logits: Tensor) -> dict[str, Tensor]:
        """Build the action of the vector env: the most probable label, and the center as the location."""
        choice = logits.detach().argmax(-1)
        location = torch.zeros(len(choice), 2, device=choice.device)
        return {"next_location": location, self.task_spec.choice_name: choice}
