"""A training run of milliseconds, for attacks on its files and its processes."""

import hashlib
import os
import sys
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure

from glimpse_gym.agents.checkpoint import CheckpointError, load_agent
from glimpse_gym.agents.configs import PPOConfig, RAMConfig
from glimpse_gym.agents.trainer import Trainer
from hostile.forked import EXPECTED_KILL, Child
from hostile.trial import Failure
from runs import CATCH, SMALL_RAM

STATE = "training.pt"
NEXT_WEIGHTS = ".next-weights.safetensors"
"""Weights that agent.json may name already; they stay if the save is cut off at that moment."""
_NUM_UPDATES = 6
_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.truncate"}


def make_trainer(folder: Path, resume: bool = False, seed: int = 0) -> Trainer:
    """Make the trainer of the tiny run, which saves after every update."""
    config = PPOConfig(
        seed=seed,
        num_episodes=4 * _NUM_UPDATES,
        batch_size=4,
        minibatch_size=4,
        num_epochs=1,
        num_evaluations=2,
        validation_episodes=4,
        save_interval=0.0,
    )
    kwargs = {"num_glimpses": 3, "patch_size": 3, "num_scales": 1}
    return Trainer(folder, CATCH, kwargs, config, RAMConfig(**SMALL_RAM, glimpse_network="fc"), resume=resume)


def train(folder: Path, resume: bool = True, seed: int = 0) -> None:
    """Train in a folder to the end."""
    if not make_trainer(folder, resume, seed).train(progress=False):
        raise AssertionError("the run was interrupted")


def train_until(folder: Path, last: int) -> None:
    """Train, and end this process at once before the operation on files with this number, from 1."""
    count = 0

    def end(event: str, arguments: object) -> None:
        nonlocal count
        count += event in _EVENTS
        if count == last:
            os._exit(EXPECTED_KILL)

    sys.addaudithook(end)
    train(folder)


class Undisturbed:
    """The run without attacks, for comparison; imports all that a run imports, so that children have it."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        torch.set_num_threads(1)
        # Drawing a learning curve takes longer than the tiny run itself.
        Figure.savefig = lambda figure, path, **settings: Path(path).write_bytes(bytes(20_000))
        train(folder / "first", seed=seed)
        start = time.monotonic()
        if (child := Child(lambda: _count_operations(folder / "run", folder / "count", seed))).wait() != 0:
            raise Failure(f"the undisturbed run failed: {child.error}")
        self.seed, self.seconds = seed, time.monotonic() - start
        self.num_operations = int((folder / "count").read_text())
        self.weights = weights_of(folder / "run")
        self.largest_file = max(path.stat().st_size for path in (folder / "run").rglob("*") if path.is_file())

    def check_finish(self, folder: Path) -> None:
        """Resume a run to its end, and compare it with this one.

        Raises:
            Failure: it cannot be resumed, differs, or has left temporary files.
        """
        child = Child(lambda: train(folder, seed=self.seed))
        if child.wait() != 0:
            raise Failure(f"the run cannot be resumed: {child.error}")
        if weights_of(folder) != self.weights:
            raise Failure("the weights differ from those of the undisturbed run")
        check_no_temporary_files(folder)


def check_agent(folder: Path) -> None:
    """Fail unless the folder holds a whole agent, or says that there is none.

    Raises:
        Failure: it holds a damaged one.
    """
    try:
        load_agent(folder)
    except CheckpointError as error:
        if "holds no agent" not in str(error):
            raise Failure(f"the agent of a run that was cut off cannot be loaded: {error}") from error


def check_no_temporary_files(folder: Path, *expected: str) -> None:
    """Fail if a folder has hidden files other than the lock and the expected ones.

    Raises:
        Failure: it has.
    """
    leftovers = sorted(path.name for path in folder.rglob(".*") if path.name not in (".lock", *expected))
    if leftovers:
        raise Failure(f"temporary files are left: {leftovers}")


def weights_of(folder: Path) -> str:
    """Digest of the weights of the agent in a folder, which must be whole."""
    policy, _ = load_agent(folder)
    digest = hashlib.sha256()
    for name, value in sorted(policy.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def _count_operations(folder: Path, result: Path, seed: int) -> None:
    count = 0

    def add(event: str, arguments: object) -> None:
        nonlocal count
        count += event in _EVENTS

    sys.addaudithook(add)
    train(folder, seed=seed)
    result.write_text(str(count))
