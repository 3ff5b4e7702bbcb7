"""Features of glimpses for Stable-Baselines3: the "what" and "where" of the paper's glimpse network.

B observations of n stacked frames; a glimpse has k scales of C channels and g x g cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from glimpse_gym.agents.networks import GLIMPSE_ENCODERS, GlimpseNetwork
from glimpse_gym.validation import check_choice, check_integer

_KEYS = {"glimpse", "location", "time"}
# Logarithm of the standard deviation that Gaussian policies start with; the image spans 2 units, from -1 to 1.
_LOG_STD_INIT = -1.5


class GlimpseExtractor(BaseFeaturesExtractor):
    """Glimpse network of the paper as a features extractor for dict observations.

    Each frame of a stack goes through the same network. The output, (B, n * features + 1), is the features of all
    frames, oldest first, and the newest ``time``, which a value function needs. Both ways in which ``VecFrameStack``
    can stack glimpses are recognized: along the columns (its default) and along the channels.

    Args:
        observation_space: ``Dict(glimpse=..., location=..., time=...)`` of an env of this package, or a stack of n.
        num_scales: k; ``env.metadata["num_scales"]``. Only needed with a ``scale_gain``.
        scale_gain: scale s of the glimpse is multiplied by ``scale_gain**s``. Averaging makes a sparse screen dark
            at the coarse scales; 4.0 keeps the brightness of a single pixel.
        encoder: network on the glimpse: ``"fc"``, the paper's ReLU units, or ``"conv"``.
        units: ReLU units on the glimpse.
        location_units: ReLU units on the location.
        features: features per frame.

    Raises:
        ValueError: if an argument is not accepted.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        *,
        num_scales: int = 1,
        scale_gain: float = 1.0,
        encoder: str = "fc",
        units: int = 128,
        location_units: int = 128,
        features: int = 128,
    ) -> None:
        if not isinstance(observation_space, spaces.Dict) or set(observation_space) != _KEYS:
            raise ValueError(
                "GlimpseExtractor takes dict observations with the keys 'glimpse', 'location' and 'time', got "
                f"{observation_space!r:.200}: make the env with observations='dict'"
            )
        check_choice("encoder", encoder, GLIMPSE_ENCODERS)
        check_integer("num_scales", num_scales, at_least=1)
        shape: Any = observation_space["glimpse"].shape  # of the whole stack
        self.num_frames: int = observation_space["location"].shape[0] // 2  # type: ignore[index]
        self._stacked_columns = shape[2] != shape[1]
        depth, side = shape[0] if self._stacked_columns else shape[0] // self.num_frames, shape[1]
        if depth % num_scales:
            raise ValueError(
                f"num_scales must divide the {depth} channels of a glimpse, got {num_scales}: "
                "use env.metadata['num_scales']"
            )
        super().__init__(observation_space, self.num_frames * features + 1)
        self.network = GlimpseNetwork(
            (depth, side, side), num_scales, encoder, units, location_units, features, scale_gain
        )

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Compute the features, float32 (B, n * features + 1)."""
        glimpse, location, time = (observations[key] for key in ("glimpse", "location", "time"))
        batch, frames, side = len(glimpse), self.num_frames, glimpse.shape[2]
        if self._stacked_columns:  # (B, k*C, g, n*g) to (B, n, k*C, g, g)
            glimpse = glimpse.unflatten(3, (frames, side)).permute(0, 3, 1, 2, 4)
        glimpse = glimpse.reshape(batch * frames, -1, side, side)
        features = self.network(glimpse, location.reshape(batch * frames, 2))
        return torch.cat([features.view(batch, -1), time[:, -1:]], dim=1)


def glimpse_policy_kwargs(
    *, net_arch: Sequence[int] = (128,), gaussian: bool = False, **extractor_kwargs: Any
) -> dict[str, Any]:
    """Make ``policy_kwargs`` for any algorithm of Stable-Baselines3 or sb3-contrib on dict observations.

    Args:
        net_arch: ReLU units of the hidden layers between the features and the outputs.
        gaussian: for PPO and A2C on the continuous form: start with a standard deviation of 0.22. Their default of 1
            puts most of the first locations, clipped to [-1, 1], near or on the border of the image.
        **extractor_kwargs: keyword arguments of :class:`GlimpseExtractor`.
    """
    return {
        "features_extractor_class": GlimpseExtractor,
        "features_extractor_kwargs": extractor_kwargs,
        "net_arch": list(net_arch),
        "activation_fn": nn.ReLU,
    } | ({"log_std_init": _LOG_STD_INIT} if gaussian else {})
