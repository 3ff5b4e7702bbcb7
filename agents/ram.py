"""The recurrent attention model (RAM) of Mnih et al., "Recurrent Models of Visual Attention", 2014: networks and loss.

B episodes, T glimpses, K labels or moves, H hidden units, S numbers in the core's state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor
from torch.nn import functional

from glimpse_gym.agents.base import Losses, Task, TaskAgent
from glimpse_gym.agents.configs import check_knobs, knob
from glimpse_gym.agents.networks import (
    CORES,
    GLIMPSE_NETWORKS,
    Baseline,
    ChoiceNetwork,
    GlimpseNetwork,
    LocationNetwork,
    steered,
)
from glimpse_gym.validation import check_choice


@dataclass(frozen=True)
class RAMConfig:
    """What makes a RAM, apart from the env it is made for; as it is, what names images best."""

    glimpse_network: str = knob(
        "conv",
        "what the glimpse goes through, 'full': the paper's fully connected layer; 'conv': two convolutions before",
    )
    glimpse_units: int = knob(256, "rectifiers on the flattened glimpse; the paper has 128")
    location_units: int = knob(64, "rectifiers on the location; the paper has 128")
    glimpse_features: int = knob(256, "size of g, the glimpse network's output")
    scale_gain: float = knob(
        1.0, "scale s of a glimpse is multiplied by its s-th power; 4 keeps a lone pixel as bright at every scale"
    )
    core: str = knob("gru", "'rectifier': the paper's for classification; 'gru'; 'lstm': the paper's for Catch")
    hidden_units: int = knob(256, "size of h, the core's output")
    looks: str = knob("learned", "'learned', or 'random': uniformly random locations, in training and after")
    sigma: float = knob(0.1, "standard deviation of a sampled location, where the image is 2 wide")
    loss_at: str = knob(
        "rising",
        "in naming images, 'every': cross-entropy after every glimpse, and as return the true class's mean probability "
        "after the later ones; 'rising': the same, but the t-th cross-entropy counts t times; 'last': the paper's, the "
        "last glimpse's cross-entropy, and the reward as return",
    )
    reinforce_weight: float = knob(1.0, "in naming images: weight of REINFORCE against the cross-entropy")
    reinforce_into_core: bool = knob(
        True, "let the locations' gradients into the core and the glimpse network, not the location network alone"
    )
    pathwise_limit: float = knob(
        0.4,
        "in naming images: the longest gradient that an episode sends through a glimpse to its location; 0: none; "
        "with one scale there is none, since that does not show what a step aside would bring into view",
    )

    def __post_init__(self) -> None:
        sizes = dict.fromkeys(("glimpse_units", "location_units", "glimpse_features", "hidden_units"), 1)
        check_knobs(
            self,
            at_least=sizes | {"reinforce_weight": 0, "pathwise_limit": 0},
            above={"sigma": 0, "scale_gain": 0},
        )
        check_choice("glimpse_network", self.glimpse_network, tuple(GLIMPSE_NETWORKS))
        check_choice("core", self.core, tuple(CORES))
        check_choice("looks", self.looks, ("learned", "random"))
        check_choice("loss_at", self.loss_at, ("every", "rising", "last"))


class Thought(NamedTuple):
    """What a RAM makes of one glimpse."""

    hidden: Tensor
    """h, (B, H)."""
    logits: Tensor
    """Of the labels or the moves, (B, K)."""
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


class RAM(TaskAgent):
    """The recurrent attention model, and an agent: batched, for the vector env it was made for.

    Args:
        task: what it is made for.
        config: the knobs.
    """

    def __init__(self, task: Task, config: RAMConfig | None = None) -> None:
        config = config or RAMConfig()
        super().__init__(task, config)
        self.glimpse_network = GlimpseNetwork(
            task.glimpse_shape,
            task.num_scales,
            kind=config.glimpse_network,
            units=config.glimpse_units,
            location_units=config.location_units,
            features=config.glimpse_features,
            scale_gain=config.scale_gain,
        )
        self.core_network = CORES[config.core](config.glimpse_features, config.hidden_units)
        self.location_network = LocationNetwork(config.hidden_units)
        self.choice_network = ChoiceNetwork(config.hidden_units, task.num_choices)
        self.baseline = Baseline(config.hidden_units)

    def initial_state(self, num_envs: int) -> Tensor:
        """The core's state before the first glimpse: zeros, (B, S)."""
        return torch.zeros(num_envs, self.core_network.state_size)

    @torch.no_grad()
    def act(
        self, observation: dict[str, np.ndarray], state: Tensor, sample: bool = False
    ) -> tuple[dict[str, np.ndarray], Tensor]:
        """Look, think, and choose.

        Args:
            observation: of B sub-envs. Where ``time`` is 0 an episode has begun, and the memory starts afresh.
            state: from the step before, or from :meth:`initial_state`.
            sample: draw the location from the policy, and a move too, from :attr:`generator`; else take the mean and
                the likeliest. A label is always the likeliest so far.

        Returns:
            The action, ``label`` or ``move`` int64 (B,) and ``location`` float32 (B, 2), and the new state.
        """
        begun = torch.from_numpy(observation["time"]) == 0  # (B, 1)
        thought, state = self.think(*seen_in(observation), torch.where(begun, 0.0, state))
        location = self.sample(thought.mean) if sample or self.config.looks == "random" else thought.mean
        choice = thought.logits.argmax(-1)
        if sample and self.task.choice_name == "move":
            choice = self.sample_choice(thought.logits)
        return self.action(choice, location), state

    def think(self, glimpse: Tensor, location: Tensor, state: Tensor | None) -> tuple[Thought, Tensor]:
        """One step of the networks, with gradients.

        Args:
            glimpse: what is seen, (B, k*C, g, g).
            location: where, (B, 2).
            state: the core's; None where all episodes have just begun.

        Returns:
            What comes of it, and the core's new state.
        """
        hidden, state = self.core_network(self.glimpse_network(glimpse, location), state)
        return self._conclude(hidden), state

    def think_through(self, glimpses: Tensor, locations: Tensor) -> Thought:
        """What is made of whole episodes that were played before, each (T, B, ...), with gradients."""
        num_glimpses = len(glimpses)
        features = self.glimpse_network(glimpses.flatten(0, 1), locations.flatten(0, 1))
        state: Tensor | None = None
        hiddens = []
        for step in features.chunk(num_glimpses):
            hidden, state = self.core_network(step, state)
            hiddens.append(hidden)
        return self._conclude(torch.stack(hiddens))

    def _conclude(self, hidden: Tensor) -> Thought:
        policy_input = hidden if self.config.reinforce_into_core else hidden.detach()
        return Thought(hidden, self.choice_network(hidden), self.location_network(policy_input))

    def sample(self, mean: Tensor) -> Tensor:
        """Locations drawn around their means, or anywhere, (..., 2), not clipped; no gradient goes through the draw."""
        if self.config.looks == "random":
            return 2 * torch.rand(mean.shape, generator=self.generator) - 1
        noise = torch.randn(mean.shape, generator=self.generator)
        return mean.detach() + self.config.sigma * noise

    def sample_choice(self, logits: Tensor) -> Tensor:
        """Choices drawn by their probabilities, int64 (B,)."""
        return torch.multinomial(logits.detach().softmax(-1), 1, generator=self.generator).squeeze(-1)

    def action(self, choice: Tensor, location: Tensor) -> dict[str, np.ndarray]:
        """The vector env's form of a choice and a location."""
        return {
            self.task.choice_name: choice.numpy(),
            "location": location.detach().clamp(-1.0, 1.0).numpy(),
        }

    def log_probability(self, locations: Tensor, means: Tensor) -> Tensor:
        """Of locations as they were drawn, (..., 2), before any clipping; up to a constant. Returns (...)."""
        if self.config.looks == "random":  # which have nothing to do with the means
            return torch.zeros_like(means[..., 0])
        return -((locations - means) ** 2).sum(-1) / (2 * self.config.sigma**2)

    def learn_from(self, envs: VectorEnv[Any, Any, Any], seeds: list[int], copies: int) -> tuple[Losses, Tensor]:
        """Look at the images of these episodes, and judge what was said and where was looked.

        Args:
            envs: of a classification world, one sub-env for each seed.
            seeds: of the episodes; each run of ``copies`` neighbors is equal.
            copies: see :meth:`losses`.

        Returns:
            The losses, and whether each answer was right, bool (B,).
        """
        rollout = self.roll_out(envs, seeds)
        return self.losses(rollout, copies), rollout.correct

    def roll_out(self, envs: VectorEnv[Any, Any, Any], seeds: list[int]) -> Rollout:
        """Play one episode in every sub-env, all equally long, locations sampled, gradients kept."""
        limit = self.config.pathwise_limit if self.config.looks == "learned" and self.task.num_scales > 1 else 0.0
        observation, _ = envs.reset(seed=seeds)  # type: ignore[arg-type]
        sizes: np.ndarray = envs.unwrapped.world.sizes  # type: ignore[attr-defined]
        half_size = torch.from_numpy(sizes[:, ::-1] / np.float32(2))
        glimpse, location = seen_in(observation)
        state: Tensor | None = None
        thoughts: list[Thought] = []
        locations: list[Tensor] = []
        rewards = np.zeros(envs.num_envs)
        ended = np.zeros(envs.num_envs, np.bool_)
        while not ended.all():
            thought, state = self.think(glimpse, location, state)
            drawn = self.sample(thought.mean)
            action = self.action(thought.logits.detach().argmax(-1), drawn)
            observation, reward, ended, _, infos = envs.step(action)
            glimpse, location = seen_in(observation)
            if limit:
                # The draw as the mean plus a noise that does not depend on it: so the mean gets the gradient.
                location = (thought.mean + (drawn - thought.mean.detach())).clamp(-1.0, 1.0)
                glimpse = steered(glimpse, location, self.task.num_scales, half_size, limit)
            rewards += reward
            thoughts.append(thought)
            locations.append(drawn)
        return Rollout(
            Thought(*(torch.stack(parts) for parts in zip(*thoughts, strict=True))),
            torch.stack(locations),
            torch.from_numpy(infos["label"]),
            torch.from_numpy(rewards).float(),
            torch.from_numpy(infos["correct"]),
        )

    def losses(self, rollout: Rollout, copies: int) -> Losses:
        """The hybrid loss: cross-entropy, plus REINFORCE for the locations with a learned baseline (equation 2).

        Args:
            rollout: B episodes; each run of ``copies`` neighbors is on the same image (M episodes, section 3).
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
            weights = torch.ones(num_glimpses)
            if self.config.loss_at == "rising":
                weights = weights.cumsum(0)
            classification = (weights / weights.sum()) @ cross_entropy.mean(1)
            # exp(-cross-entropy) is the true class's probability. Location t earns the mean of those after t.
            later = torch.exp(-cross_entropy.detach())[1:].flip(0).cumsum(0).flip(0)
            returns = later / torch.arange(num_glimpses - 1, 0, -1)[:, None]
        if num_glimpses == 1 or self.config.looks == "random":  # nothing was chosen
            zero = classification.new_zeros(())
            return Losses(classification, classification, zero, zero)
        values = self.baseline(thoughts.hidden[:-1].detach())
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


def seen_in(observation: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    """What was seen and where, (B, k*C, g, g) and (B, 2)."""
    return torch.from_numpy(observation["glimpse"]), torch.from_numpy(observation["location"])
