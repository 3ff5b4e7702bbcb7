"""A training run: schedule, log, curve, and a state that any kill leaves whole."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from glimpse_gym.agents.checkpoint import (
    Card,
    CheckpointError,
    holds_agent,
    load_card,
    load_tensors,
    load_weights,
    remove_agent_leftovers,
    save_agent,
    save_tensors,
)
from glimpse_gym.agents.evaluation import Conditions, evaluate, names_images
from glimpse_gym.agents.learner import ImageLearner, ImageTrainConfig, Learner, TrainConfig
from glimpse_gym.agents.ppo import PLAYER, GameLearner, GameTrainConfig
from glimpse_gym.agents.ram import RAMConfig
from glimpse_gym.agents.registry import AnyConfig, kind_of
from glimpse_gym.atomic_io import atomic_write, remove_temporary_files
from glimpse_gym.images.datasets import DATA_SETS

_STATE, _LOG, _CURVE = "training.safetensors", "log.csv", "curve.png"


class Run:
    """A training run in a folder of its own.

    Args:
        folder: where everything is written.
        env_id: of one of our worlds.
        env_kwargs: its keyword values, without ``split``.
        train_config: how to train, to name images or to play; None: as :func:`default_configs` has it.
        agent_config: what to train; None: the same.
        resume: go on with the run that the folder holds, if it holds one.
        augmentation: keyword values of the env that hold in training only, such as ``{"rotation": [-10, 10]}``.
        command: what was typed to get here, for the agent's card.

    Raises:
        CheckpointError: the folder holds a run already, or, with ``resume``, one of another configuration, or a
            damaged one. It is left as it is.
        ValueError: an env that is no such task, or keyword values that JSON cannot hold.
    """

    def __init__(
        self,
        folder: str | Path,
        env_id: str,
        env_kwargs: dict[str, Any] | None = None,
        train_config: TrainConfig | None = None,
        agent_config: AnyConfig | None = None,
        resume: bool = False,
        augmentation: dict[str, Any] | None = None,
        command: str = "",
    ) -> None:
        self.folder = Path(folder)
        default_train_config, default_agent_config = default_configs(env_id)
        self.config = train_config or default_train_config
        self.env_kwargs, augmentation = _storable(env_kwargs or {}), _storable(augmentation or {})
        exists = (self.folder / _STATE).exists()
        if not resume and (exists or holds_agent(self.folder)):
            raise CheckpointError(f"{self.folder} holds a run already: resume it, or name another folder")
        if resume and holds_agent(self.folder) and not exists:
            raise CheckpointError(f"{self.folder} holds an agent, but not the state to go on from: name another folder")
        self.learner = _LEARNERS[type(self.config)](
            env_id, self.env_kwargs | augmentation, self.config, agent_config or default_agent_config
        )
        self.agent = self.learner.agent
        self.card = Card(
            env_id,
            self.env_kwargs,
            self.agent.config,
            self.agent.task,
            asdict(self.config) | {"augmentation": augmentation},
            command,
        )
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self._recent_errors: list[float] = []  # of the batches since the last record
        if exists:
            remove_agent_leftovers(self.folder)
            for name in (_STATE, _LOG, _CURVE):
                remove_temporary_files(self.folder / name)
            self._load()
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.save()

    def train(self, progress: bool = True) -> bool:
        """Train to the end, or until Ctrl-C (or SIGTERM) asks to stop; either way the state is saved.

        Returns:
            Whether the run has come to its end.
        """
        if self.learner.done:
            return True
        threads = torch.get_num_threads()
        torch.set_num_threads(self.config.threads)
        writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.learner.episodes_seen)
        try:
            with _stop_requests() as stop, self._bar(progress) as bar:
                self._loop(stop, bar, writer)
            self.save()
            self._draw_curve()
        finally:
            writer.close()
            torch.set_num_threads(threads)
        return self.learner.done

    def _loop(self, stop: threading.Event, bar: tqdm[Any], writer: SummaryWriter) -> None:
        saved = begun = time.monotonic()
        while not (self.learner.done or stop.is_set()):
            losses, error = self.learner.update()
            self._recent_errors.append(error)
            bar.update(self.config.batch_size)
            now = time.monotonic()
            if self._evaluation_is_due():
                self.seconds, begun = self.seconds + now - begun, now
                self._record(writer, losses)
            if now - saved > self.config.save_seconds:
                self.seconds, begun, saved = self.seconds + now - begun, now, now
                self.save()
            if self.learner.num_updates_done % 20 == 0:
                self._show(bar)
        self.seconds += time.monotonic() - begun

    def _show(self, bar: tqdm[Any]) -> None:
        shown = {}
        if recent := self._recent_errors[-100:]:
            shown["error"] = f"{sum(recent) / len(recent):.2%}"
        if self.history:
            shown["validation"] = f"{self.history[-1]['validation_error']:.2%}"
        bar.set_postfix(shown, refresh=False)

    def _evaluation_is_due(self) -> bool:
        total, times = self.config.num_updates, self.config.num_evaluations
        return self.learner.num_updates_done * times // total > (self.learner.num_updates_done - 1) * times // total

    def _record(self, writer: SummaryWriter, losses: dict[str, float]) -> None:
        """Measure the validation error, and log everything."""
        generator = self.agent.generator.get_state()  # the evaluation draws nothing of the run's own
        score = evaluate(
            self.agent,
            self.card.env_id,
            self.env_kwargs,
            Conditions(split="validation"),
            num_episodes=self.config.validation_episodes,
        )
        self.agent.generator.set_state(generator)
        values = {
            "validation_error": score.errors[-1],
            "training_error": sum(self._recent_errors) / len(self._recent_errors),
            **{f"{name}_loss": value for name, value in losses.items()},
        }
        self._recent_errors.clear()
        for name, value in values.items():
            writer.add_scalar(name, value, self.learner.episodes_seen)
        self.history.append({"episodes": self.learner.episodes_seen, "seconds": self.seconds, **values})

    def _bar(self, progress: bool) -> tqdm[Any]:
        total = self.config.num_updates * self.config.batch_size
        return tqdm(
            desc="training",
            total=total,
            initial=self.learner.episodes_seen,
            unit="episode",
            unit_scale=True,
            disable=not progress,
        )

    def summary(self) -> str:
        """What came of the run, in a line."""
        seen = self.learner.episodes_seen
        return (
            f"validation error {self.history[-1]['validation_error']:.2%} after {seen} episodes in "
            f"{self.seconds:.0f} s ({seen / self.seconds:.0f} a second)"
        )

    def save(self) -> None:
        """Save the agent, the log, and all that is needed to go on; each file whole or not at all."""
        save_agent(self.folder, self.agent, self.card)
        if self.history:
            with atomic_write(self.folder / _LOG) as temporary, temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, self.history[0])
                writer.writeheader()
                writer.writerows(self.history)
        tensors = {f"agent.{name}": value for name, value in self.agent.state_dict().items()}
        for k, optimizer in enumerate(self.learner.optimizers):
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{k}.{i}.{name}": value for name, value in state.items()}
        tensors["generator"] = self.agent.generator.get_state()
        progress = {"updates": self.learner.num_updates_done, "seconds": self.seconds, "history": self.history}
        progress["recent_errors"] = self._recent_errors
        # Last, and complete in itself: what was written before it is written again on the way from here.
        save_tensors(self.folder / _STATE, tensors, {"progress": json.dumps(progress)})

    def _load(self) -> None:
        path = self.folder / _STATE
        card = load_card(self.folder)
        there, asked = _identity(card), _identity(self.card)
        if differing := [name for name in sorted(there.keys() | asked.keys()) if there.get(name) != asked.get(name)]:
            differences = ", ".join(f"{name} = {there.get(name)} (asked: {asked.get(name)})" for name in differing)
            raise CheckpointError(
                f"{self.folder} holds a run with {differences}: ask for the same, or name another folder"
            )
        tensors, metadata = load_tensors(path)
        states: dict[int, dict[int, dict[str, Tensor]]] = {}
        weights: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "agent":
                weights[rest] = tensor
            elif kind == "optimizer":
                optimizer_index, index, key = rest.split(".")
                states.setdefault(int(optimizer_index), {}).setdefault(int(index), {})[key] = tensor
        load_weights(self.agent, weights, path)
        for k, optimizer in enumerate(self.learner.optimizers):
            optimizer.load_state_dict(optimizer.state_dict() | {"state": states.get(k, {})})
        self.agent.generator.set_state(tensors["generator"])
        progress = json.loads(metadata["progress"])
        self.learner.num_updates_done, self.seconds = progress["updates"], progress["seconds"]
        self.history, self._recent_errors = progress["history"], progress["recent_errors"]
        if self.learner.done:
            self.card = card  # with its scores, which were measured on these weights

    def _draw_curve(self) -> None:
        """The errors against the episodes seen, as ``curve.png``."""
        if not self.history:
            return
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        episodes = [record["episodes"] for record in self.history]
        for name, label in (
            ("training_error", "training (sampled locations)"),
            ("validation_error", "validation"),
        ):
            axes.plot(episodes, [100 * record[name] for record in self.history], marker=".", label=label)
        axes.set(xlabel="episodes seen", ylabel="error at the end, %", yscale="log")
        axes.set_title(f"{self.card.env_id}, seed {self.config.seed}, {self.seconds / 60:.1f} min")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
        with atomic_write(self.folder / _CURVE) as temporary:
            figure.savefig(temporary, dpi=120)


_LEARNERS: dict[type[TrainConfig], type[Learner]] = {ImageTrainConfig: ImageLearner, GameTrainConfig: GameLearner}


def default_configs(env_id: str) -> tuple[TrainConfig, RAMConfig]:
    """How what there is to learn in an env is learned, to name images or to play, and by what."""
    return (ImageTrainConfig(), RAMConfig()) if names_images(env_id) else (GameTrainConfig(), PLAYER)


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets, so that an update is never cut in two; the second interrupts."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield stop
        return

    def request(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _identity(card: Card) -> dict[str, Any]:
    """What two cards of one run have in common, by name, as JSON would have it."""
    values = {"env_id": card.env_id, "agent": kind_of(card.config)} | card.task._asdict()
    values |= {f"env_kwargs[{name!r}]": value for name, value in card.env_kwargs.items()}
    values |= card.training | asdict(card.config)
    return dict(json.loads(json.dumps(values)))


def _storable(env_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword values of an env as JSON holds them, paths of images made absolute: an agent is loaded elsewhere."""
    values = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in env_kwargs.items()}
    for name in values.keys() & {"images", "labels"}:
        path = values[name]
        if isinstance(path, str) and path not in DATA_SETS and os.path.exists(path):
            values[name] = os.path.abspath(path)
    try:
        json.dumps(values)
    except TypeError as error:
        raise ValueError(
            f"the env's keyword values are stored with the agent, as JSON ({error}): save arrays as an .npz, and give "
            "its path as images"
        ) from error
    return values
