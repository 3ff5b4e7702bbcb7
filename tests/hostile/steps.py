"""Attacks on running envs: malformed calls between valid ones, against a twin that gets only the valid ones."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import Error as GymnasiumError
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

import oracles
from glimpse_gym.registration import ENV_IDS
from hostile import bad_values
from hostile.trial import Failure, Trial, describe

REFUSALS = (ValueError, TypeError, GymnasiumError)
_STEPS = 150
_IMAGES = np.random.default_rng(0).integers(0, 256, (12, 10, 9), np.uint8)
_SMALL = {"images": _IMAGES, "labels": np.arange(12) % 4, "split": "all"}


class Steps(Trial):
    def attempt(self, rng, folder):
        """Attack one env, single or vector, of a random id, action form and autoreset mode."""
        duel = Duel(rng)
        for _ in range(_STEPS):
            duel.attack() if rng.random() < 0.6 else duel.play()
        return _STEPS


class Duel:
    """An env and its twin."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        name = str(rng.choice(ENV_IDS))
        kwargs: dict[str, Any] = {} if "Catch" in name else dict(_SMALL)
        if rng.random() < 0.15:
            kwargs["actions"] = "multidiscrete"
        kwargs["observations"] = str(rng.choice(["dict", "flat"]))
        if rng.random() < 0.7:
            kwargs["num_glimpses"] = int(rng.integers(1, 6))
        self.num_envs = None if rng.random() < 0.4 else int(rng.integers(1, 5))
        if self.num_envs is None:
            self.env, self.twin = (gym.make(name, **kwargs).unwrapped for _ in range(2))
        else:
            mode = list(AutoresetMode)[int(rng.integers(3))]
            self.env, self.twin = (
                gym.make_vec(name, num_envs=self.num_envs, autoreset_mode=mode, **kwargs) for _ in range(2)
            )
            self.mode = mode
        self.what = f"{name} { ({k: v for k, v in kwargs.items() if k not in _SMALL}) } num_envs={self.num_envs}"
        self.shape = () if self.num_envs is None else (self.num_envs,)
        self.codec, self.num_images = self.env.codec, self.env.metadata["num_images"]
        self.was_reset, self.ended = False, np.zeros(self.num_envs or 1, bool)

    # ---------------------------------------------------------------- valid calls

    def play(self) -> None:
        """A valid step or reset of both, which must agree bit for bit."""
        rng = self.rng
        if not self.was_reset:
            return self._reset(seed=int(rng.integers(2**31)))
        if self.num_envs is None and self.ended[0]:
            return self._reset()
        if self.num_envs is not None and self.ended.any() and self.mode is AutoresetMode.DISABLED:
            return self._reset(options={"reset_mask": self.ended.copy()})
        if rng.random() < 0.05:
            return self._reset(**self._random_reset())
        action = self._action()
        mine, theirs = self.env.step(action), self.twin.step(_copy(action))
        self.ended = np.atleast_1d(mine[2]) | np.atleast_1d(mine[3])
        reward = np.atleast_1d(mine[1])
        if not np.isfinite(reward).all() or np.atleast_1d(mine[3]).any():
            raise Failure(f"{self.what}: reward {reward}, truncated {mine[3]}")
        self._compare(mine, theirs, (action,))

    def _reset(self, **kwargs: Any) -> None:
        mine, theirs = self.env.reset(**kwargs), self.twin.reset(**_copy(kwargs))
        self.was_reset = True
        mask = (kwargs.get("options") or {}).get("reset_mask", True)
        self.ended = self.ended & ~np.asarray(mask)
        self._compare(mine, theirs, (kwargs,))

    def _compare(self, mine: Any, theirs: Any, arguments: tuple[Any, ...]) -> None:
        try:
            oracles.assert_identical(mine, theirs)
        except AssertionError as error:
            raise Failure(f"{self.what}: after {describe(arguments)} the env differs from its twin: {error}") from error
        parts = mine[0].values() if isinstance(mine[0], dict) else [mine[0]]
        for part in parts:
            if not (part.min() >= -1 and part.max() <= 1):  # also if one is NaN
                raise Failure(f"{self.what}: observation out of range: {part.min()} to {part.max()}")
        if isinstance(mine[0], dict) and mine[0]["glimpse"].min() < 0:
            raise Failure(f"{self.what}: glimpse below 0")
        for each in (mine, arguments):  # neither what was returned nor what was given may be part of the state
            _scribble(each)

    def _action(self) -> Any:
        """A valid action, sometimes a boundary case or in another accepted form."""
        rng, choices, cells = self.rng, self.codec.num_choices, self.codec.num_cells
        forms = {"HybridCodec": self._hybrid, "ContinuousCodec": self._continuous}
        name = type(self.codec).__name__
        if name in forms:
            return forms[name]()
        if name == "DiscreteCodec":
            return self._integers(int(self.codec.space.n))
        order = (cells, choices) if self.codec.choice_is_final else (choices, cells)
        return np.stack([rng.integers(n, size=self.shape) for n in order], axis=-1)

    def _hybrid(self) -> Any:
        return {
            "next_location": self._locations(),
            self.codec.choice_name: self._integers(self.codec.num_choices),
        }

    def _continuous(self) -> Any:
        scores = self.rng.choice([0, 1, -1e30, 1e-30, 0.5], (*self.shape, self.codec.num_choices))
        return np.concatenate([self._locations(), scores.astype(np.float32)], axis=-1)

    def _locations(self) -> np.ndarray:
        dtype = self.rng.choice([np.float32, np.float32, np.float64])
        if self.rng.random() < 0.3:
            return self.rng.choice([-1, 1, 0, 3.4e38, -3.4e38, 1e-45, 0.9999999], (*self.shape, 2)).astype(dtype)
        return self.rng.uniform(-1, 1, (*self.shape, 2)).astype(dtype)

    def _integers(self, number: int) -> Any:
        values = self.rng.integers(number, size=self.shape)
        if not self.shape:
            return int(values) if self.rng.random() < 0.5 else np.int32(values)
        return values.astype(self.rng.choice([np.int64, np.int32, np.uint8 if number < 256 else np.int64]))

    def _random_reset(self) -> dict[str, Any]:
        rng, kwargs, options = self.rng, {}, {}
        if rng.random() < 0.4:
            kwargs["seed"] = int(rng.choice([0, 1, 2**31, 2**32, 2**63 - 9]))
        if self.num_envs is not None and rng.random() < 0.5:
            mask = rng.random(self.num_envs) < 0.5
            mask[int(rng.integers(self.num_envs))] = True
            options["reset_mask"] = mask
        if self.num_images and rng.random() < 0.5:
            options["image_index"] = int(rng.choice([0, self.num_images - 1]))
        return kwargs | ({"options": options} if options else {})

    # ---------------------------------------------------------------- malformed calls

    def attack(self) -> None:
        """A malformed call of the env alone, which must be refused."""
        rng = self.rng
        if rng.random() < 0.75:
            call, argument = self.env.step, (self._bad_action(),)
            must_reset = not self.was_reset or (
                self.ended.any() and (self.num_envs is None or self.mode is AutoresetMode.DISABLED)
            )
            if must_reset and rng.random() < 0.5:
                argument = (self._action(),)
            kwargs: dict[str, Any] = {}
        else:
            call, argument, kwargs, must_reset = self.env.reset, (), self._bad_reset(), False
        try:
            call(*argument, **kwargs)
        except ResetNeeded:
            if call == self.env.step and not must_reset:
                raise
        except REFUSALS as error:
            if not str(error):
                raise Failure(f"{self.what}: the error {error!r} says nothing") from error
        except Exception as error:
            raise Failure(
                f"{self.what}: {call.__name__}({describe(argument)}, {describe(kwargs)}): {error!r:.300}"
            ) from error
        else:
            raise Failure(f"{self.what}: {call.__name__}({describe(argument)}, {describe(kwargs)}) was accepted")

    def _bad_action(self) -> Any:
        rng, name = self.rng, type(self.codec).__name__
        if name == "HybridCodec":
            return self._bad_hybrid()
        if name == "ContinuousCodec":
            return bad_values.bad_floats(rng, (*self.shape, 2 + self.codec.num_choices))
        if name == "DiscreteCodec":
            return bad_values.bad_integers(rng, self.shape, int(self.codec.space.n))
        return bad_values.bad_integers(rng, (*self.shape, 2), max(self.codec.num_cells, self.codec.num_choices))

    def _bad_hybrid(self) -> Any:
        rng, action, choice = self.rng, self._hybrid(), self.codec.choice_name
        kind = int(rng.integers(6))
        if kind == 0:
            return bad_values.anything(rng)
        if kind == 1:
            del action[str(rng.choice(list(action)))]
        elif kind == 2:
            action[[None, 3, "speed", ("next_location",)][int(rng.integers(4))]] = 0
        if kind in (3, 5):
            action["next_location"] = bad_values.bad_floats(rng, (*self.shape, 2))
        if kind in (4, 5):
            action[choice] = bad_values.bad_integers(rng, self.shape, self.codec.num_choices)
        return action

    def _bad_reset(self) -> dict[str, Any]:
        rng = self.rng
        kind = int(rng.integers(5))
        good = self._random_reset()
        if kind == 0:
            good.get("options", {}).pop("reset_mask", None)  # seeds of sub-envs that are not reset are not read
            return good | {"seed": bad_values.bad_seed(rng, self.num_envs)}
        if kind == 1:
            values = [
                1,
                "image_index",
                [("image_index", 0)],
                object(),
                np.zeros(2),
                {"index": 0},
                {None: 1},
                {1: 1, "a": 2},
            ]
            return good | {"options": values[int(rng.integers(len(values)))]}
        options = dict(good.get("options", {}))
        if kind == 2 and self.num_envs is not None:
            return good | {"options": options | {"reset_mask": bad_values.bad_mask(rng, self.num_envs)}}
        if self.num_images:
            return good | {"options": options | {"image_index": self._bad_index()}}
        return good | {"options": options | {"image_index": 0}}

    def _bad_index(self) -> Any:
        if self.shape and self.rng.random() < 0.7:
            value = bad_values.bad_integers(self.rng, (self.num_envs + 7,), self.num_images)
            return -1 if isinstance(value, np.ndarray) and not value.shape else value  # one index for all is accepted
        values = (
            -1,
            self.num_images,
            2**63,
            10**400,
            0.0,
            np.nan,
            "0",
            True,
            None,
            np.float32(0),
            [[0]],
            np.bool_(True),
        )
        return values[int(self.rng.integers(len(values)))]


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


def _scribble(value: Any) -> None:
    """Overwrite all arrays."""
    if isinstance(value, dict):
        for each in value.values():
            _scribble(each)
    elif isinstance(value, tuple):
        for each in value:
            _scribble(each)
    elif isinstance(value, np.ndarray) and value.ndim and value.flags.writeable and value.dtype != object:
        value.fill(1)
