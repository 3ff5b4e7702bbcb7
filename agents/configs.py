"""Configurations of policies and algorithms: dataclasses with a docstring per field. This module does not import torch.

The docstring of a field is also its help text on the command line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from glimpse_gym.validation import check_choice, shown

MAX_SEEDS = 2**23
"""Seeds of training runs are below this number; see :mod:`glimpse_gym.agents.learner`."""

_MAX_CANDIDATES = 1000
_MAX_INTEGER = 2**53  # floats represent smaller integers exactly


def validate_fields(
    config: Any,
    minimum: Mapping[str, float] | None = None,
    above: Mapping[str, float] | None = None,
    maximum: Mapping[str, float] | None = None,
) -> None:
    """Raise ValueError for the first field that has the wrong type, is not finite, or is out of range.

    Args:
        config: a dataclass whose fields are int, float, bool, or a Literal of strings. An int is accepted for a float.
        minimum: the smallest accepted values, by field name.
        above: exclusive lower bounds, by field name.
        maximum: the largest accepted values, by field name.
    """
    hints = get_type_hints(type(config))
    for field in fields(config):
        name, value = field.name, getattr(config, field.name)
        kind = hints[name]
        if get_origin(kind) is Literal:
            check_choice(name, value, get_args(kind))
            continue
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ValueError(f"{name} must be of type {kind.__name__}, got {shown(value)}")
        if type(value) is int and abs(value) >= _MAX_INTEGER:
            raise ValueError(f"{name} must be less than 2**53, got {shown(value)}")
        if kind is float and not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
        if minimum and name in minimum and value < minimum[name]:
            raise ValueError(f"{name} must be at least {minimum[name]}, got {value}")
        if above and name in above and value <= above[name]:
            raise ValueError(f"{name} must be greater than {above[name]}, got {value}")
        if maximum and name in maximum and value > maximum[name]:
            raise ValueError(f"{name} must be at most {maximum[name]}, got {value}")


@dataclass(frozen=True)
class RecurrentConfig:
    """Glimpse network and core, which all recurrent policies have. The defaults are our best for classification."""

    glimpse_network: Literal["fc", "conv"] = "conv"
    """Network on the glimpse: 'fc', the paper's fully connected layer; 'conv', two convolutional layers before it."""
    glimpse_filters: int = 32
    """Filters of the first convolution of 'conv'; the second has twice as many. Without effect in 'fc'."""
    glimpse_units: int = 256
    """ReLU units on the flattened glimpse; 128 in the paper."""
    location_units: int = 64
    """ReLU units on the location; 128 in the paper."""
    glimpse_features: int = 256
    """Size of the glimpse network's output g."""
    scale_gain: float = 1.0
    """Scale s of a glimpse is multiplied by scale_gain**s; with 4 a single pixel is equally bright at every scale."""
    core: Literal["relu", "gru", "lstm"] = "gru"
    """Recurrent core: 'relu', the paper's for classification; 'gru'; 'lstm', the paper's for Catch."""
    hidden_units: int = 256
    """Size of the core's output h."""

    def __post_init__(self) -> None:
        sizes = ("glimpse_filters", "glimpse_units", "location_units", "glimpse_features", "hidden_units")
        validate_fields(self, minimum=dict.fromkeys(sizes, 1), above={"scale_gain": 0})


@dataclass(frozen=True)
class RAMConfig(RecurrentConfig):
    """Recurrent attention model: networks, and the policy of its locations."""

    location_policy: Literal["learned", "random", "center", "raster", "spiral", "saliency", "oracle"] = "learned"
    """'learned', or a rule, in training and in evaluation: 'random', uniformly random locations; 'center';
    'raster', a grid row by row; 'spiral', from the center outward; 'saliency', the brightest place not yet fixated;
    'oracle', reads from the world where the digit or the ball is, which is cheating."""
    sigma: float = 0.1
    """Standard deviation of sampled locations; the image spans 2 units, from -1 to 1."""
    detach_location_network: bool = False
    """Stop gradients from the location network to the core and the glimpse network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validate_fields(self, above={"sigma": 0})


@dataclass(frozen=True)
class DiscreteRAMConfig(RecurrentConfig):
    """Recurrent attention model for discrete actions: networks, and the policy before training."""

    initial_sigma: float = 0.2
    """Standard deviation of looks around the center before training; the image spans 2 units, from -1 to 1."""
    initial_answer_prob: float = 0.1
    """Probability of an answer instead of another look before training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validate_fields(self, above={"initial_sigma": 0, "initial_answer_prob": 0})
        if self.initial_answer_prob >= 1:
            raise ValueError(f"initial_answer_prob must be less than 1, got {self.initial_answer_prob}")


@dataclass(frozen=True)
class ClassifierConfig:
    """Network of a whole-image classifier."""

    network: Literal["fc", "conv", "cnn"] = "fc"
    """'fc': two fully connected layers;
    'conv': the paper's 8 filters of 10 x 10 at stride 5, then a fully connected layer;
    'cnn': four 3 x 3 convolutions with batch normalization, two max-pooling layers and global max-pooling."""
    units: int = 256
    """ReLU units of each fully connected layer; filters of the last convolutions of 'cnn'."""

    def __post_init__(self) -> None:
        validate_fields(self, minimum={"units": 1})
        if self.network == "cnn" and self.units < 4:
            raise ValueError(f"units must be at least 4 for network='cnn', got {self.units}")


@dataclass(frozen=True)
class ScriptedConfig:
    """Kind of scripted Catch player."""

    player: Literal["random", "chaser", "oracle"] = "random"
    """'random', uniformly random moves; 'chaser', sees the whole screen and moves toward the ball's current column;
    'oracle', reads the landing column from the world, which is cheating."""

    def __post_init__(self) -> None:
        validate_fields(self)


@dataclass(frozen=True)
class TrainConfig:
    """Settings shared by all algorithms."""

    seed: int = 0
    """Seed of the initial weights, the episodes and the samples."""
    num_episodes: int = 1_200_000
    """Training episodes, including copies of an image."""
    batch_size: int = 512
    """Episodes per update, including copies of an image."""
    optimizer: Literal["adam", "muon", "sgd"] = "muon"
    """'adam'; 'muon', Muon for weight matrices between layers, Adam for the rest; 'sgd', gradient descent with momentum
    0.9, as in the paper."""
    learning_rate: float = 3e-3
    """Peak learning rate; it decays to 0."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """Decay of the learning rate."""
    warmup_updates: int = 50
    """Updates over which the learning rate rises to its peak."""
    max_grad_norm: float = 5.0
    """Gradients are clipped to this norm."""
    num_evaluations: int = 20
    """Number of evaluations on the validation split during the run."""
    validation_episodes: int = 2_000
    """Episodes per evaluation during the run."""
    save_interval: float = 30.0
    """Seconds between saves of the run's state."""
    device: str = "cpu"
    """Device of the worlds and the networks in training: 'cpu', 'cuda', 'cuda:1' or another torch device; 'torch:cpu'
    computes on the CPU as on another device, for tests."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the networks in training: 'float32', or 'bfloat16' for their matrix products, with float32 weights;
    1.3 times as fast on a CPU with instructions for bfloat16."""
    # OpenMP threads wait for each other at every layer, and by default they spin while they wait: two trainers with two
    # threads each on two cores reached 480 images/s together, with one thread each 9,000. See docs/training.md.
    num_threads: int = 1
    """Number of torch threads; more than one helps only on otherwise idle cores."""

    def __post_init__(self) -> None:
        positive = ("num_episodes", "batch_size", "num_evaluations", "validation_episodes", "num_threads")
        validate_fields(
            self,
            minimum=dict.fromkeys(positive, 1) | {"seed": 0, "warmup_updates": 0, "save_interval": 0},
            above={"learning_rate": 0, "max_grad_norm": 0},
        )
        if self.seed >= MAX_SEEDS:
            raise ValueError(f"seed must be less than {MAX_SEEDS}, got {self.seed}")

    def check_processes(self, number: int) -> None:
        """Raise ValueError unless a batch can be divided among a number of processes, each with whole images."""
        copies = getattr(self, "copies_per_image", 1)
        images = self.batch_size // copies
        if number < 1:
            raise ValueError(f"the number of processes must be at least 1, got {number}")
        if images % number:
            of_images = f" of {images} images with {copies} copies each" if copies > 1 else ""
            accepted = next(each for each in range(min(number, images), 0, -1) if images % each == 0)
            raise ValueError(
                f"a batch{of_images or f' of {images} episodes'} cannot be divided among {number} processes: use "
                f"another number, such as {accepted}, or another batch_size"
            )

    @property
    def num_updates(self) -> int:
        """Number of updates in the whole run."""
        return math.ceil(self.num_episodes / self.batch_size)

    def progress(self, num_updates_done: int, num_steps_done: int) -> float:
        """Fraction of the run that is done; the run is finished at 1."""
        return num_updates_done / self.num_updates

    def learning_rate_at(self, num_updates_done: int, num_steps_done: int = 0) -> float:
        """Learning rate of the next update."""
        progress = min(1.0, self.progress(num_updates_done, num_steps_done))
        decay = 0.5 * (1 + math.cos(math.pi * progress)) if self.schedule == "cosine" else 1 - progress
        return self.learning_rate * decay * min(1.0, (num_updates_done + 1) / (self.warmup_updates + 1))


@dataclass(frozen=True)
class ReinforceConfig(TrainConfig):
    """Hybrid loss: cross-entropy for the label, REINFORCE (and a pathwise gradient) for the locations."""

    copies_per_image: int = 1
    """Episodes with the same image, canvas and first glimpse (the paper's M)."""
    candidates_per_episode: int = 1
    """Episodes that are played for each one that is learned from. They are played without gradients first; then a batch
    of them, drawn with probabilities about proportional to their losses, is played again and learned from (online batch
    selection; Loshchilov and Hutter, 2016). num_episodes and batch_size count those learned from. 1: no selection."""
    selection_start: float = 0.2
    """Fraction of the run after which the selection begins: before, losses are high everywhere."""
    loss_weighting: Literal["uniform", "linear", "last"] = "linear"
    """Weights of the cross-entropy after each glimpse.
    'uniform': equal weights. 'linear': the t-th glimpse counts t times.
    With both, the return of a location is the true class's mean probability after the later glimpses.
    'last': after the last glimpse only, with the reward as the return, as in the paper."""
    reinforce_weight: float = 1.0
    """Weight of the REINFORCE loss relative to the cross-entropy."""
    pathwise_max_norm: float = 0.4
    """Maximum norm of the pathwise gradient: of one episode's cross-entropy, through a glimpse, to its location.
    0 turns the pathwise gradient off.
    It is always off with a single scale, which does not show what a shifted glimpse would contain."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validate_fields(
            self,
            minimum=dict.fromkeys(("copies_per_image", "candidates_per_episode"), 1)
            | dict.fromkeys(("selection_start", "reinforce_weight", "pathwise_max_norm"), 0),
            maximum={"candidates_per_episode": _MAX_CANDIDATES, "selection_start": 1},
        )
        if self.candidates_per_episode > 1 and self.copies_per_image > 1:
            raise ValueError(
                f"candidates_per_episode must be 1 with copies_per_image={self.copies_per_image}, "
                f"got {self.candidates_per_episode}"
            )
        if self.batch_size % self.copies_per_image:
            raise ValueError(
                f"batch_size must be a multiple of copies_per_image={self.copies_per_image}, got {self.batch_size}"
            )


@dataclass(frozen=True)
class SupervisedConfig(TrainConfig):
    """Supervised training of a whole-image classifier with cross-entropy."""


@dataclass(frozen=True)
class PPOConfig(TrainConfig):
    """Proximal policy optimization, which learns from the rewards alone."""

    num_episodes: int = 869_565
    """Training episodes."""
    num_steps: int = 0
    """Training steps, summed over all sub-envs, after which the run ends even before num_episodes; 0 sets no limit."""
    batch_size: int = 256
    """Episodes per update."""
    optimizer: Literal["adam", "muon", "sgd"] = "adam"
    """'adam'; 'muon', Muon for weight matrices between layers, Adam for the rest; 'sgd', gradient descent with momentum
    0.9."""
    learning_rate: float = 1e-3
    """Peak learning rate; it decays to 0."""
    schedule: Literal["cosine", "linear"] = "linear"
    """Decay of the learning rate."""
    warmup_updates: int = 0
    """Updates over which the learning rate rises to its peak."""
    max_grad_norm: float = 0.5
    """Gradients are clipped to this norm."""
    init: Literal["uniform", "orthogonal"] = "orthogonal"
    """Initial weights: 'uniform', torch's default; 'orthogonal' matrices, which keep the size of signals."""
    num_epochs: int = 3
    """Passes over each batch of episodes."""
    minibatch_size: int = 64
    """Episodes per optimizer step; an episode is never split."""
    gamma: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of generalized advantage estimation."""
    clip_coef: float = 0.2
    """Clipping range of the probability ratio."""
    ent_coef: float = 0.01
    """Coefficient of the entropy of the moves or labels; it decays linearly to 0."""
    vf_coef: float = 0.5
    """Coefficient of the value loss."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validate_fields(
            self,
            minimum=dict.fromkeys(("num_epochs", "minibatch_size"), 1)
            | dict.fromkeys(("num_steps", "gamma", "gae_lambda", "ent_coef", "vf_coef"), 0),
            above={"clip_coef": 0},
        )
        if self.batch_size % self.minibatch_size:
            raise ValueError(
                f"batch_size must be a multiple of minibatch_size={self.minibatch_size}, got {self.batch_size}"
            )

    def progress(self, num_updates_done: int, num_steps_done: int) -> float:
        """See :meth:`TrainConfig.progress`. The run is finished when the episodes or the steps are done."""
        progress = super().progress(num_updates_done, num_steps_done)
        return max(progress, num_steps_done / self.num_steps) if self.num_steps else progress
