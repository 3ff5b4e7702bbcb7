"""Training runs: a learner, its evaluations, log and learning curve, and a saved state that the run resumes from.

The state, ``training.pt``, is the run: it is written first, and all else in the folder is made from it. Wherever a run
is cut off, its folder holds a state to resume from, or nothing, and a run that is resumed writes the rest again.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from glimpse_gym.agents.checkpoint import (
    CheckpointError,
    CheckpointMetadata,
    load_metadata,
    remove_temporary_agent_files,
    save_agent,
    weights_checksum,
)
from glimpse_gym.agents.configs import TrainConfig
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.event_log import EventLog
from glimpse_gym.agents.parallel import Parallel
from glimpse_gym.agents.registry import algorithm_name, default_configs, make_learner
from glimpse_gym.agents.run_state import (
    STATE,
    check_folder,
    check_settings,
    learner_state,
    load_state,
    run_settings,
    save_state,
    set_learner_state,
    state_version,
)
from glimpse_gym.agents.training_loop import collect_settings, run_updates, set_threads, share_state, stop_requests
from glimpse_gym.atomic_io import atomic_write, remove_temporary_files
from glimpse_gym.folder_lock import LOCK, lock_folder
from glimpse_gym.provenance import storable_kwargs
from glimpse_gym.validation import NotFiniteError

_LOG, _CURVE = "log.csv", "curve.png"


class DivergenceError(RuntimeError):
    """Training diverged: a gradient or an action is no longer finite."""


class Trainer:
    """Training run in its own folder.

    Args:
        folder: where everything is written.
        env_id: id of one of this package's envs.
        env_kwargs: its keyword arguments, without ``split``.
        train_config: algorithm and its settings; None takes :func:`glimpse_gym.agents.registry.default_configs`.
        policy_config: configuration of the policy; None takes the algorithm's default policy.
        resume: resume the run in the folder, if there is one.
        augmentation: keyword arguments of the env in training only, such as ``{"rotation": [-10, 10]}``.
        command: command that started the run, stored with the agent.
        parallel: process 0 of a run with several processes; None for a run with one. The others call
            :func:`glimpse_gym.agents.training_loop.train_along`. The folder and its state are the same for any number.

    Raises:
        CheckpointError: if the folder already holds a run or, with ``resume``, a run with other settings or a damaged
            one. The run in it is left unchanged.
        FolderInUseError: if another process trains in the folder; the message names it.
        OSError: if the folder cannot be written; the message names the file.
        PeerLostError: if another process has failed or ended.
        ValueError: if the algorithm cannot train in the env, or JSON cannot store a keyword argument.
    """

    def __init__(
        self,
        folder: str | Path,
        env_id: str,
        env_kwargs: dict[str, Any] | None = None,
        train_config: TrainConfig | None = None,
        policy_config: Any = None,
        resume: bool = False,
        augmentation: dict[str, Any] | None = None,
        command: str = "",
        parallel: Parallel | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.parallel = parallel or Parallel()
        algorithm = algorithm_name(train_config) if train_config else None
        default_config, default_policy = default_configs(env_id, algorithm)
        self.config = train_config or default_config
        policy_config, env_kwargs, augmentation = policy_config or default_policy, env_kwargs or {}, augmentation or {}
        self.parallel.broadcast(collect_settings(env_id, env_kwargs | augmentation, self.config, policy_config))
        with self.parallel.failing_together():
            if (self.folder / LOCK).exists():  # tell of a run in progress before anything else
                with lock_folder(self.folder):
                    pass
            check_folder(self.folder, resume)
            self._make_learner(env_id, env_kwargs, policy_config, augmentation, command)
        with self.parallel.failing_together():
            self._open_folder(resume)
        share_state(self.learner)

    def _make_learner(
        self, env_id: str, env_kwargs: dict[str, Any], policy_config: Any, augmentation: dict[str, Any], command: str
    ) -> None:
        self.env_kwargs, augmentation = storable_kwargs(env_kwargs), storable_kwargs(augmentation)
        self.learner = make_learner(env_id, self.env_kwargs | augmentation, self.config, policy_config, self.parallel)
        self.policy = self.learner.policy
        training = {"algorithm": algorithm_name(self.config)} | asdict(self.config) | {"augmentation": augmentation}
        self.metadata = CheckpointMetadata(
            env_id, self.env_kwargs, self.policy.config, self.policy.task_spec, training, command
        )
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self._recent_errors: list[float] = []  # of the batches since the last evaluation

    def _open_folder(self, resume: bool) -> None:
        """Make the folder of the run, or load the run in it."""
        self._saved_version: tuple[int, int] | None = None  # of the state in the folder
        self.folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(self.folder):
            exists = check_folder(self.folder, resume)  # again: another process may have made a run in the meantime
            self._remove_temporary_files()
            if exists:
                self._load()
                self._restore_outputs()
            else:
                self.save()

    def train(self, progress: bool = True) -> bool:
        """Train to the end, or until Ctrl-C or SIGTERM requests a stop. The state is saved in both cases.

        Returns:
            True if the run is finished.

        Raises:
            CheckpointError: if another process has trained in the folder since this trainer was made.
            DivergenceError: if the training diverged. The last saved state stays.
            FolderInUseError: if another process trains in the folder; the message names it.
            OSError: if a file cannot be written; the message names it. The last saved state stays.
            PeerLostError: if another process has failed or ended. The last saved state stays.
        """
        with lock_folder(self.folder):
            self._check_unchanged()
            if not self.learner.done:
                try:
                    self._train(progress)
                except NotFiniteError as error:
                    played, rate = self.learner.num_episodes_played, self.config.learning_rate
                    raise DivergenceError(
                        f"the training in {self.folder} diverged after {played:,} episodes: its actions or gradients "
                        f"are no longer finite. Train in another folder with a lower learning_rate than {rate:g}"
                    ) from error
            elif not (self.folder / _CURVE).exists():
                self._save_curve()
        return self.learner.done

    def _train(self, progress: bool) -> None:
        # Of evaluations after the last save, which are repeated now, TensorBoard shows the later ones.
        log = EventLog(self.folder / "tensorboard", first_step=self.learner.num_episodes_played + 1)
        with set_threads(self.config.num_threads):
            with stop_requests() as stop, self._progress_bar(progress) as bar:
                self._loop(stop.is_set, bar, log)
            self.save()
            self._save_curve()

    def _loop(self, stop_is_requested: Callable[[], bool], bar: tqdm[Any], log: EventLog) -> None:
        last_save = start = time.monotonic()
        progress = self.learner.progress
        updates = run_updates(
            self.learner, stop_is_requested, lambda: time.monotonic() - last_save > self.config.save_interval
        )
        for update in updates:
            self._recent_errors.append(update.error)
            played = self.learner.num_episodes_played
            bar.total = round(played / self.learner.progress)
            bar.update(played - bar.n)
            now = time.monotonic()
            if self._evaluation_is_due(progress):
                self.seconds, start = self.seconds + now - start, now
                self._evaluate(log, update.losses)
            if update.save:
                self.seconds, start, last_save = self.seconds + now - start, now, now
                self.save()
            if self.learner.num_updates_done % 20 == 0:
                self._show_errors(bar)
            progress = self.learner.progress
        self.seconds += time.monotonic() - start

    def _show_errors(self, bar: tqdm[Any]) -> None:
        shown = {}
        if recent := self._recent_errors[-100:]:
            shown["error"] = f"{sum(recent) / len(recent):.2%}"
        if self.history:
            shown["validation"] = f"{self.history[-1]['validation_error']:.2%}"
        bar.set_postfix(shown, refresh=False)

    def _evaluation_is_due(self, progress_before: float) -> bool:
        """Return whether an evaluation became due in the last update, from the progress before it."""
        before, now = (
            int(progress * self.config.num_evaluations + 1e-9)  # for fractions that round down
            for progress in (progress_before, self.learner.progress)
        )
        return now > before

    def _evaluate(self, log: EventLog, losses: dict[str, float]) -> None:
        """Measure the validation error, and log it with the training error and the losses."""
        generator_state = self.policy.generator.get_state()  # evaluating must not change the samples drawn in training
        score = evaluate(
            self.policy,
            self.metadata.env_id,
            self.env_kwargs,
            EvalConditions(split="validation"),
            num_episodes=self.config.validation_episodes,
        )
        self.policy.generator.set_state(generator_state)
        values = {
            "validation_error": score.errors[-1],
            "training_error": sum(self._recent_errors) / len(self._recent_errors),
            **{f"{name}_loss": value for name, value in losses.items()},
        }
        self._recent_errors.clear()
        log.add(self.learner.num_episodes_played, values)
        self.history.append({"episodes": self.learner.num_episodes_played, "seconds": self.seconds, **values})

    def _progress_bar(self, progress: bool) -> tqdm[Any]:
        total = self.config.num_updates * self.config.batch_size
        return tqdm(
            desc="training",
            total=total,
            initial=self.learner.num_episodes_played,
            unit="episode",
            unit_scale=True,
            disable=not progress,
        )

    def summary(self) -> str:
        """Summarize the run in one line."""
        num_episodes = self.learner.num_episodes_played
        return (
            f"validation error {self.history[-1]['validation_error']:.2%} after {num_episodes} episodes in "
            f"{self.seconds:.0f} s ({num_episodes / self.seconds:.0f} episodes/s)"
        )

    def save(self) -> None:
        """Save the state to resume from, then the agent and the log; each file is written atomically.

        Raises:
            CheckpointError: if the folder was deleted or moved, or changed by another run.
            OSError: if a file cannot be written; the message names it.
        """
        self._check_unchanged()
        state = learner_state(self.learner) | {
            "settings": run_settings(self.metadata),
            "seconds": self.seconds,
            "history": self.history,
            "recent_errors": self._recent_errors,
        }
        save_state(self.folder, state)
        self._saved_version = state_version(self.folder)
        self.metadata = save_agent(self.folder, self.policy, self.metadata)
        self._save_log()

    def _check_unchanged(self) -> None:
        """Raise a CheckpointError unless the folder holds the state that this trainer saved or loaded last."""
        if state_version(self.folder) != self._saved_version:
            raise CheckpointError(
                f"{self.folder} was deleted or moved, or changed by another run, since this run saved its state there; "
                "nothing more is saved: resume the run where it is now, or use another folder"
            )

    def _save_log(self) -> None:
        if self.history:
            with atomic_write(self.folder / _LOG) as temporary, temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, self.history[0])
                writer.writeheader()
                writer.writerows(self.history)

    def _restore_outputs(self) -> None:
        """Write the agent and the log again, in case the last save was cut off."""
        if self.learner.done:
            with suppress(CheckpointError):
                metadata = load_metadata(self.folder)
                if metadata.weights_checksum == weights_checksum(self.policy):
                    self.metadata = metadata  # with the scores of this agent
        self.metadata = save_agent(self.folder, self.policy, self.metadata)
        self._save_log()

    def _remove_temporary_files(self) -> None:
        """Remove what a killed process left behind."""
        remove_temporary_agent_files(self.folder)
        for name in (STATE, _LOG, _CURVE):
            remove_temporary_files(self.folder / name)

    def _load(self) -> None:
        max_bytes = 100_000_000 + 8 * sum(weight.nbytes for weight in self.policy.state_dict().values())
        self._saved_version = state_version(self.folder)
        state, path = load_state(self.folder, max_bytes), self.folder / STATE
        try:
            check_settings(self.folder, state["settings"], run_settings(self.metadata))
            self._set_state(state, path)
        except CheckpointError:
            raise
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} does not fit the run in its folder: {error!r:.300}") from error

    def _set_state(self, state: dict[str, Any], path: Path) -> None:
        set_learner_state(self.learner, state, path)
        self.seconds = state["seconds"]
        self.history, self._recent_errors = state["history"], state["recent_errors"]

    def _save_curve(self) -> None:
        """Plot the learning curve, errors against episodes, as ``curve.png``."""
        if not self.history:
            return
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        episodes = [record["episodes"] for record in self.history]
        for name, label in (("training_error", "training (sampled locations)"), ("validation_error", "validation")):
            axes.plot(episodes, [100 * record[name] for record in self.history], marker=".", label=label)
        axes.set(xlabel="training episodes", ylabel="error at the end of an episode, %", yscale="log")
        axes.set_title(f"{self.metadata.env_id}, seed {self.config.seed}, {self.seconds / 60:.1f} min")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
        with atomic_write(self.folder / _CURVE) as temporary:
            figure.savefig(temporary, dpi=120)
