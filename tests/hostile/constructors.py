"""Random keyword arguments for all that users construct: envs, retinas, configurations, image sets."""

import dataclasses
import inspect
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.error import Error as GymnasiumError
from gymnasium.vector import AutoresetMode

from glimpse_gym.agents.registry import ALGORITHMS, POLICIES, make_policy_config, make_train_config
from glimpse_gym.images import DataError, open_images
from glimpse_gym.registration import ENV_IDS
from glimpse_gym.retina import Retina
from hostile.bad_values import anything
from hostile.trial import Failure, Trial, describe

REFUSALS = (ValueError, TypeError, GymnasiumError, DataError)
_IMAGES, _LABELS = np.random.default_rng(0).integers(0, 256, (12, 10, 9), np.uint8), np.arange(12) % 4
_NUMBERS: list[Any] = [
    *(0, 1, 2, 3, 5, 12, 13, 17, 64, 255, 256, 1000, 10**4, 10**5, 10**6, 2**31 - 1, 2**31, 2**32, 2**53, 2**63),
    *(2**64, 10**30, 10**400, -1, -7, -(2**63), 0.0, -0.0, 0.5, 1.0, 1.5, 1e-320, 1e-9, 1e9, 1e18, 1e300, -1e300, -1.5),
    *(np.nan, np.inf, -np.inf, True, False),
    *(np.int8(3), np.uint64(2**64 - 1), np.float32(0.5), np.float64("nan"), np.int64(4)),
]
_STRINGS = (
    *("train", "test", "validation", "all", "center", "random", "dict", "flat", "hybrid", "discrete", "multidiscrete"),
    *("continuous", "glimpse", "screen", "rgb_array", "ansi", "NextStep", "SameStep", "fc", "conv", "gru", "learned"),
    *("mnist ", "", "0", "a" * 5000, "\0", "/", "/dev/null", "/proc/self/mem", "~", ".", "/etc/passwd"),
)


class Constructors(Trial):
    def __init__(self, folder):
        super().__init__(folder)
        self.env_arguments = {env_id: _arguments(env_id) for env_id in ENV_IDS}

    def attempt(self, rng, folder):
        """Construct something: it works, or it is refused by a ValueError or TypeError."""
        kinds = (self._env, self._env, self._retina, self._config, self._images)
        make = kinds[int(rng.integers(len(kinds)))]
        description: list[Any] = []
        warnings.filterwarnings("ignore", "no image has label")  # documented
        try:
            make(rng, description)
        except Failure:
            raise
        except REFUSALS as error:
            if not str(error):
                raise Failure(
                    f"{make.__name__[1:]} {describe(description)}: the error {error!r} says nothing"
                ) from error
        except Exception as error:
            what = type(error).__name__ + ": " + describe(error)
            raise Failure(f"{make.__name__[1:]} {describe(description)}: {what}") from error
        return 1

    def _env(self, rng: np.random.Generator, description: list[Any]) -> None:
        name = str(rng.choice(ENV_IDS))
        kwargs: dict[str, Any] = {} if "Catch" in name else {"images": _IMAGES, "labels": _LABELS, "split": "all"}
        changed = rng.choice(self.env_arguments[name], int(rng.integers(1, 4)))
        kwargs |= {str(each): _value(rng) for each in changed}
        if rng.random() < 0.05:
            kwargs[str(rng.choice(["speed", "max_episode_steps", "vector_kwargs", "wrappers", "num_rows"]))] = _value(
                rng
            )
        vector = rng.random() < 0.5
        if vector:
            kwargs["num_envs"] = _value(rng) if rng.random() < 0.2 else int(rng.integers(1, 4))
            if rng.random() < 0.3:
                modes = [*AutoresetMode, "NextStep", "Disabled", "later", None, 1]
                kwargs["autoreset_mode"] = modes[int(rng.integers(len(modes)))]
        else:
            kwargs.pop("autoreset_mode", None)
        description += [
            name,
            {key: value for key, value in kwargs.items() if value is not _IMAGES and value is not _LABELS},
        ]
        env = _make(name, kwargs)
        try:
            observation, _ = env.reset(seed=int(rng.integers(2**31)))
            _check_within(env, observation)
            observation, reward, *_ = env.step(env.action_space.sample())
            _check_within(env, observation)
            if not np.isfinite(reward).all():
                raise Failure(f"{name} {describe(kwargs)}: reward {reward}")
            if env.render_mode is not None and env.metadata["image_size"][0] < 300:
                env.render()
        except REFUSALS as error:
            raise Failure(f"{description}: made, but cannot be used: {error!r}") from error
        finally:
            env.close()

    def _retina(self, rng: np.random.Generator, description: list[Any]) -> None:
        arguments = [_value(rng) if rng.random() < 0.5 else int(rng.integers(1, 6)) for _ in range(2)]
        description += ["Retina", *arguments]
        retina = Retina(*arguments)
        images = _array(rng) if rng.random() < 0.4 else _IMAGES
        locations = _array(rng) if rng.random() < 0.4 else rng.uniform(-2, 2, (12, 2))
        description += [describe(images), describe(locations)]
        glimpse = retina.sense(images, locations)
        if not (glimpse.min(initial=0) >= 0 and glimpse.max(initial=0) <= 1):
            raise Failure(f"{description}: glimpse from {glimpse.min()} to {glimpse.max()}")

    def _config(self, rng: np.random.Generator, description: list[Any]) -> None:
        table, make = ((POLICIES, make_policy_config), (ALGORITHMS, make_train_config))[int(rng.integers(2))]
        name = str(rng.choice(list(table)))
        names = [field.name for field in dataclasses.fields(table[name].config_class)]
        values: Any = {str(each): _value(rng) for each in rng.choice([*names, "x"], int(rng.integers(1, 4)))}
        if rng.random() < 0.1:
            values = _value(rng)
        description += [name, values]
        config = make(_value(rng) if rng.random() < 0.05 else name, values)
        if config != dataclasses.replace(config):
            raise Failure(f"{description}: the configuration does not equal itself")
        if hasattr(config, "learning_rate_at") and not 0 <= config.learning_rate_at(1, 1) <= config.learning_rate:
            raise Failure(f"{description}: learning rate {config.learning_rate_at(1, 1)}")

    def _images(self, rng: np.random.Generator, description: list[Any]) -> None:
        images = _value(rng) if rng.random() < 0.3 else _array(rng) if rng.random() < 0.6 else _IMAGES
        if rng.random() < 0.2:
            images = [_array(rng) for _ in range(int(rng.integers(4)))]
        labels = _value(rng) if rng.random() < 0.3 else _array(rng) if rng.random() < 0.3 else _LABELS
        description += [images, labels]
        split = _value(rng) if rng.random() < 0.2 else "all"
        num_classes = _value(rng) if rng.random() < 0.3 else None
        description += [split, num_classes]
        image_set = open_images(images, labels, split=split, num_classes=num_classes)
        for index in (0, len(image_set) - 1):
            if image_set.image(index).dtype != np.uint8:
                raise Failure(f"{description}: not uint8")
        if not 0 <= image_set.labels.min() <= image_set.labels.max() < image_set.num_classes:
            raise Failure(f"{description}: labels out of range")


def _arguments(env_id: str) -> list[str]:
    """Names of the keyword arguments of an env."""
    env_class = load_env_creator(gym.spec(env_id).entry_point)
    parameters = {**inspect.signature(env_class.world_class).parameters, **inspect.signature(env_class).parameters}
    return [name for name in parameters if name not in ("num_rows", "kwargs")]


def _make(name: str, kwargs: dict[str, Any]) -> Any:
    mode = kwargs.get("render_mode")
    is_usual = mode is None or (isinstance(mode, str) and mode in ("rgb_array", "ansi"))
    if is_usual and "without a repr" not in describe(kwargs):
        return gym.make_vec(name, **kwargs) if "num_envs" in kwargs else gym.make(name, **kwargs)
    # Gymnasium itself warns about unknown render modes, and fails with those that are no strings, or without a repr.
    spec = gym.spec(name)
    creator = load_env_creator(spec.vector_entry_point if "num_envs" in kwargs else spec.entry_point)
    return creator(**spec.kwargs | kwargs)


def _check_within(env: Any, observation: Any) -> None:
    parts = observation.values() if isinstance(observation, dict) else [observation]
    spaces = env.observation_space.values() if isinstance(observation, dict) else [env.observation_space]
    for part, space in zip(parts, spaces, strict=True):
        if part.size < 10**7 and part not in space:
            raise Failure(f"{env}: the observation {describe(part)} is not in {space}")


def _value(rng: np.random.Generator) -> Any:
    """A value of any kind."""
    kind = int(rng.integers(8))
    if kind < 3:
        return _NUMBERS[int(rng.integers(len(_NUMBERS)))]
    if kind == 3:
        return _STRINGS[int(rng.integers(len(_STRINGS)))]
    if kind == 4:
        pair = _NUMBERS[int(rng.integers(len(_NUMBERS)))], _NUMBERS[int(rng.integers(len(_NUMBERS)))]
        return pair if rng.random() < 0.5 else list(pair)
    if kind == 5:
        return int(rng.integers(1, 20))
    if kind == 6:
        return _array(rng)
    return anything(rng)


def _array(rng: np.random.Generator) -> Any:
    """An array, or a tensor, of any shape and dtype."""
    shapes = ((), (0,), (1,), (12,), (12, 1), (12, 2), (4, 5), (12, 4, 5), (12, 4, 5, 1), (12, 4, 5, 3), (12, 4, 5, 4))
    shapes += ((12, 3, 4, 5), (0, 4, 5), (12, 0, 5), (1, 1, 1), (12, 4, 5, 3, 2), (12, 1, 1, 2))
    dtypes = ("u1", "u1", "u1", "i8", "i4", "u8", "f4", "f8", "f2", "?", "c8", "O", "U2", "S2", "m8[s]")
    shape, dtype = shapes[int(rng.integers(len(shapes)))], str(rng.choice(dtypes))
    array = rng.integers(0, 4, shape) if rng.random() < 0.6 else rng.integers(-(2**62), 2**62, shape)
    with np.errstate(over="ignore"):
        array = np.asarray(array).astype(dtype)
    form = int(rng.integers(10))
    if form == 0:
        return np.ma.masked_array(array, mask=True)
    if form == 1:
        return array.T
    if form == 2 and array.ndim:
        return array[::-1]
    if form == 3 and dtype[0] in "uif?" and dtype not in ("u8",):
        import torch

        return torch.from_numpy(np.array(array)).requires_grad_(dtype[0] == "f")
    return array
