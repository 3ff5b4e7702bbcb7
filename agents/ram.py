"""The recurrent attention model (RAM) of Mnih et al., "Recurrent Models of Visual Attention", 2014: networks and loss.

B episodes, T glimpses, K classes, H hidden units; a glimpse has ``k*C*g*g`` values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from torch import Tensor, nn
from torch.nn import functional

from glimpse_gym.agents.knobs import check_knobs, knob
from glimpse_gym.checks import check_one_of


@dataclass(frozen=True)
class RAMConfig:
    """What makes a RAM, apart from the env it is made for."""

    glimpse_units: int = knob(128, "rectifiers on the flattened glimpse, and as many on the location (section 4)")
    glimpse_features: int = knob(256, "size of g, the glimpse network's output")
    hidden_units: int = knob(256, "size of h, the core's state")
    sigma: float = knob(0.1, "standard deviation of a sampled location, where the image is 2 wide")
    loss_at: str = knob(
        "every",
        "'every': cross-entropy after every glimpse, and as return the true class's mean probability after the "
        "later ones; 'last': the paper's, the last glimpse's cross-entropy, and the reward as return",
    )
    reinforce_weight: float = knob(1.0, "weight of REINFORCE against the cross-entropy")
    reinforce_into_core: bool = knob(
        True, "let REINFORCE's gradient into the core and the glimpse network, not the location network alone"
    )

    def __post_init__(self) -> None:
        sizes = dict.fromkeys(("glimpse_units", "glimpse_features", "hidden_units"), 1)
        check_knobs(self, at_least=sizes | {"reinforce_weight": 0}, above={"sigma": 0})
        check_one_of("loss_at", self.loss_at, ("every", "last"))


class GlimpseNetwork(nn.Module):
    """f_g: what was seen and where, (B, k*C, g, g) and (B, 2), to features g, (B, 256)."""

    def __init__(self, glimpse_values: int, config: RAMConfig) -> None:
        super().__init__()
        self.what = nn.Linear(glimpse_values, config.glimpse_units)
        self.where = nn.Linear(2, config.glimpse_units)
        self.what_out = nn.Linear(config.glimpse_units, config.glimpse_features)
        self.where_out = nn.Linear(config.glimpse_units, config.glimpse_features)

    def forward(self, glimpse: Tensor, location: Tensor) -> Tensor:
        """g = relu(linear(h_g) + linear(h_l))."""
        what = self.what(glimpse.flatten(1)).relu_()
        where = self.where(location).relu_()
        return self.what_out(what).add_(self.where_out(where)).relu_()


class CoreNetwork(nn.Module):
    """f_h: the state h, (B, H), carried from glimpse to glimpse."""

    def __init__(self, config: RAMConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.hidden_units, config.hidden_units)
        self.input = nn.Linear(config.glimpse_features, config.hidden_units)

    def forward(self, features: Tensor, hidden: Tensor | None) -> Tensor:
        """h_t = relu(linear(h_(t-1)) + linear(g_t)); None stands for the zeros that h begins with."""
        carried = self.hidden.bias if hidden is None else self.hidden(hidden)
        return self.input(features).add_(carried).relu_()


class LocationNetwork(nn.Module):
    """f_l: from h, (B, H), the mean of the next location, (B, 2) in [-1, 1]."""

    def __init__(self, config: RAMConfig) -> None:
        super().__init__()
        self.mean = nn.Linear(config.hidden_units, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        """The mean of a Gaussian of fixed variance."""
        return torch.tanh(self.mean(hidden))


class ActionNetwork(nn.Module):
    """f_a: from h, (B, H), the logits of the classes, (B, K)."""

    def __init__(self, num_classes: int, config: RAMConfig) -> None:
        super().__init__()
        self.logits = nn.Linear(config.hidden_units, num_classes)

    def forward(self, hidden: Tensor) -> Tensor:
        """A linear softmax classifier, before the softmax."""
        return self.logits(hidden)


class Baseline(nn.Module):
    """b: from h, (B, H), the return to be expected, (B,). Nothing but b learns from its error."""

    def __init__(self, config: RAMConfig) -> None:
        super().__init__()
        self.value = nn.Linear(config.hidden_units, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """b(h_t)."""
        return self.value(hidden.detach()).squeeze(-1)


class Thought(NamedTuple):
    """What a RAM makes of one glimpse."""

    hidden: Tensor
    """h, (B, H)."""
    logits: Tensor
    """(B, K)."""
    mean: Tensor
    """Where it would look next, (B, 2)."""


class Rollout(NamedTuple):
    """B whole episodes of T glimpses, with the gradients that led there."""

    thoughts: Thought
    """Each (T, B, ...)."""
    locations: Tensor
    """The sampled locations before they were clipped, (T, B, 2). The last is never looked at."""
    labels: Tensor
    """int64 (B,)."""
    rewards: Tensor
    """The sum of each episode's rewards, (B,)."""
    correct: Tensor
    """bool (B,), whether the answer was right."""


class Losses(NamedTuple):
    """The parts of the hybrid loss (section 3), each averaged over the batch and over time."""

    total: Tensor
    classification: Tensor
    reinforce: Tensor
    baseline: Tensor


class RAM(nn.Module):
    """The recurrent attention model, and an agent: batched, for the vector env it was made for.

    Args:
        glimpse_shape: ``(k*C, g, g)``, of one observation.
        num_classes: K.
        config: the knobs.
    """

    def __init__(self, glimpse_shape: tuple[int, ...], num_classes: int, config: RAMConfig | None = None) -> None:
        super().__init__()
        self.config = config or RAMConfig()
        self.glimpse_shape, self.num_classes = tuple(glimpse_shape), num_classes
        self.glimpse_network = GlimpseNetwork(int(np.prod(self.glimpse_shape)), self.config)
        self.core_network = CoreNetwork(self.config)
        self.location_network = LocationNetwork(self.config)
        self.action_network = ActionNetwork(self.num_classes, self.config)
        self.baseline = Baseline(self.config)
        self.generator = torch.Generator()
        """Where sampled locations come from."""

    @classmethod
    def for_env(cls, envs: VectorEnv[Any, Any, Any], config: RAMConfig | None = None) -> RAM:
        """A new RAM for this vector env.

        Raises:
            ValueError: an env in which no image is to be classified, or not in the hybrid form.
        """
        return cls(*_shapes(envs), config)

    def seed(self, seed: int) -> None:
        """Begin the stream of sampled locations anew."""
        self.generator.manual_seed(seed)

    def check_env(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise a ValueError where this is not the kind of vector env that the agent was made for."""
        glimpse_shape, num_classes = _shapes(envs)
        if (glimpse_shape, num_classes) != (self.glimpse_shape, self.num_classes):
            raise ValueError(
                f"the agent was made for glimpses of shape {self.glimpse_shape} and {self.num_classes} classes, "
                f"and the env has {glimpse_shape} and {num_classes}: give it the env it was made for"
            )

    def initial_state(self, num_envs: int) -> Tensor:
        """h before the first glimpse: zeros, (B, H)."""
        return torch.zeros(num_envs, self.config.hidden_units)

    @torch.no_grad()
    def act(
        self, observation: dict[str, np.ndarray], state: Tensor, sample: bool = False
    ) -> tuple[dict[str, np.ndarray], Tensor]:
        """Look, think, and choose.

        Args:
            observation: of B sub-envs. Where ``time`` is 0 an episode has begun, and the memory starts afresh.
            state: h from the step before, or from :meth:`initial_state`.
            sample: draw the location from the policy, from :attr:`generator`; else take its mean.

        Returns:
            The action, ``label`` (the likeliest class so far) int64 (B,) and ``location`` float32 (B, 2), and h.
        """
        begun = torch.from_numpy(observation["time"]) == 0  # (B, 1)
        thought = self.think(observation, torch.where(begun, 0.0, state))
        location = self.sample(thought.mean) if sample else thought.mean
        return self.action(thought, location), thought.hidden

    def think(self, observation: dict[str, np.ndarray], hidden: Tensor | None) -> Thought:
        """One step of the networks, with gradients; no ``hidden`` where all episodes have just begun."""
        features = self.glimpse_network(
            torch.from_numpy(observation["glimpse"]), torch.from_numpy(observation["location"])
        )
        hidden = self.core_network(features, hidden)
        policy_input = hidden if self.config.reinforce_into_core else hidden.detach()
        return Thought(hidden, self.action_network(hidden), self.location_network(policy_input))

    def sample(self, mean: Tensor) -> Tensor:
        """Locations drawn around their means, (B, 2), not clipped; no gradient goes through the draw."""
        noise = torch.randn(mean.shape, generator=self.generator)
        return mean.detach() + self.config.sigma * noise

    @staticmethod
    def action(thought: Thought, location: Tensor) -> dict[str, np.ndarray]:
        """The vector env's form of the likeliest label and a location."""
        return {
            "label": thought.logits.detach().argmax(-1).numpy(),
            "location": location.detach().clamp(-1.0, 1.0).numpy(),
        }

    def log_probability(self, locations: Tensor, means: Tensor) -> Tensor:
        """Of locations as they were drawn, (..., 2), before any clipping; up to a constant. Returns (...)."""
        return -((locations - means) ** 2).sum(-1) / (2 * self.config.sigma**2)

    def losses(self, rollout: Rollout, copies: int) -> Losses:
        """The hybrid loss: cross-entropy, plus REINFORCE for the locations with a learned baseline (equation 2).

        Args:
            rollout: B episodes; each run of ``copies`` neighbours is on the same image (M episodes, section 3).
            copies: M. Of two or more, the others' mean is subtracted too: it knows nothing of the one's choices.
        """
        thoughts, labels = rollout.thoughts, rollout.labels
        num_glimpses, batch = thoughts.logits.shape[:2]
        cross_entropy = functional.cross_entropy(
            thoughts.logits.flatten(0, 1), labels.repeat(num_glimpses), reduction="none"
        ).view(num_glimpses, batch)
        if self.config.loss_at == "last":
            classification = cross_entropy[-1].mean()
            returns = rollout.rewards.expand(num_glimpses - 1, batch)
        else:
            classification = cross_entropy.mean()
            # exp(-cross-entropy) is the true class's probability. Location t earns the mean of those after t.
            later = torch.exp(-cross_entropy.detach())[1:].flip(0).cumsum(0).flip(0)
            returns = later / torch.arange(num_glimpses - 1, 0, -1)[:, None]
        if num_glimpses == 1:  # nowhere to look but at the first place
            zero = classification.new_zeros(())
            return Losses(classification, classification, zero, zero)
        values = self.baseline(thoughts.hidden[:-1])
        advantages = returns - values.detach()
        if copies > 1:
            groups = advantages.view(num_glimpses - 1, batch // copies, copies)
            others = (groups.sum(-1, keepdim=True) - groups) / (copies - 1)
            advantages = (groups - others).view(num_glimpses - 1, batch)
        log_probability = self.log_probability(rollout.locations[:-1], thoughts.mean[:-1])
        reinforce = -(advantages * log_probability).mean()
        baseline = functional.mse_loss(values, returns)
        total = classification + self.config.reinforce_weight * reinforce + baseline
        return Losses(total, classification, reinforce, baseline)


def _shapes(envs: VectorEnv[Any, Any, Any]) -> tuple[tuple[int, ...], int]:
    """The shape of a glimpse, and the number of classes, of a classification env in the hybrid form."""
    actions, observations = envs.single_action_space, envs.single_observation_space
    if not (isinstance(actions, spaces.Dict) and set(actions) == {"label", "location"}):
        raise ValueError(
            "RAM acts in the hybrid form of a classification world, Dict(label=..., location=...); "
            f"got the action space {actions}"
        )
    assert isinstance(observations, spaces.Dict)
    glimpse, label = observations["glimpse"], actions["label"]
    assert isinstance(glimpse, spaces.Box)
    assert isinstance(label, spaces.Discrete)
    return glimpse.shape, int(label.n)
