"""Full disks: limits on the size of files, and file systems of a few pages, at any moment of a run or a save."""

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import hand_made_results
import recordings
from glimpse_gym.agents.experiments.result_files import load_results, save_result
from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.play import recording
from hostile import tiny_run
from hostile.forked import Child
from hostile.trial import Failure, Trial

_NEW_NAMESPACE, _PRIVATE, _REMOUNT = 0x00020000, 0x00040000 | 0x00004000, 0x20  # of unshare(2) and mount(2)
_CANNOT_MOUNT = 3  # exit status of a child that is not allowed to mount


class Disks(Trial):
    def __init__(self, folder):
        super().__init__(folder)
        self.undisturbed = tiny_run.Undisturbed(folder)
        self.record = recordings.play(recordings.catch_env())
        self.result = hand_made_results.ram_results()[0]

    def attempt(self, rng, folder):
        """Fill the disk of a run a few times, or that of one save."""
        kinds = (self._limited_run, self._small_file_system, self._limited_save)
        return kinds[int(rng.integers(3))](rng, folder)

    def _limited_run(self, rng: np.random.Generator, folder: Path) -> int:
        """Runs in which no file may be larger than a limit, each resumed with another one."""
        run, number = folder / "run", int(rng.integers(1, 4))
        for _ in range(number):
            limit = self._random_size(rng, self.undisturbed.largest_file)
            kills = rng.random() < 0.4
            child = Child(partial(_limit_files, limit, kills, lambda: tiny_run.train(run)))
            status = child.wait()
            if not (kills and status == -signal.SIGXFSZ):
                check_refusal(child, status, run)
                if run.exists():
                    tiny_run.check_no_temporary_files(run, tiny_run.NEXT_WEIGHTS)
            if run.exists():
                tiny_run.check_agent(run)
        self.undisturbed.check_finish(run)
        return number

    def _small_file_system(self, rng: np.random.Generator, folder: Path) -> int:
        """A run in a file system of its own that is too small, which then grows."""
        sizes = [max(4096, self._random_size(rng, 6 * self.undisturbed.largest_file)) for _ in range(2)]
        child = Child(lambda: self._run_in_file_systems(folder, sizes))
        status = child.wait()
        if status == _CANNOT_MOUNT:
            return 0
        if status != 0:
            raise Failure(f"file systems of {sizes} bytes: {child.error}")
        return len(sizes)

    def _run_in_file_systems(self, folder: Path, sizes: list[int]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        # A namespace of its own: nothing stays mounted when this process ends.
        if libc.unshare(_NEW_NAMESPACE) or libc.mount(b"none", b"/", None, _PRIVATE, None):
            os._exit(_CANNOT_MOUNT)
        if libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, b"size=%d" % sizes[0]):
            os._exit(_CANNOT_MOUNT)
        run = folder / "run"
        for size in sizes:
            libc.mount(b"none", os.fsencode(folder), None, _REMOUNT, b"size=%d" % size)
            child = Child(lambda: tiny_run.train(run))
            check_refusal(child, child.wait(), run)
            if run.exists():
                tiny_run.check_no_temporary_files(run, tiny_run.NEXT_WEIGHTS)
                tiny_run.check_agent(run)
        libc.mount(b"none", os.fsencode(folder), None, _REMOUNT, b"size=100000000")
        self.undisturbed.check_finish(run)

    def _limited_save(self, rng: np.random.Generator, folder: Path) -> int:
        """A single save, over an older file or not: afterwards there is the old or the new file, and nothing else."""
        savers = (self._save_record, self._save_result, self._save_data)
        saver = savers[int(rng.integers(3))]
        if rng.random() < 0.5:
            saver(folder)
        before = _contents(folder)
        limit, kills = self._random_size(rng, 20_000), rng.random() < 0.4
        child = Child(lambda: _limit_files(limit, kills, lambda: saver(folder)))
        status = child.wait()
        killed = kills and status == -signal.SIGXFSZ
        if not killed:
            check_refusal(child, status, folder)
        after = _contents(folder)
        if (killed or status != 0) and after != before:
            raise Failure(f"{saver.__name__}: a save that failed changed the folder: {sorted(after)}")
        saver(folder)
        if saver == self._save_record:
            recording.load_records(folder)
        elif saver == self._save_result:
            load_results(folder)
        return 1

    def _save_record(self, folder: Path) -> None:
        recording.save_record(folder, self.record)

    def _save_result(self, folder: Path) -> None:
        save_result(folder, self.result)

    def _save_data(self, folder: Path) -> None:
        with atomic_write(folder / "train-images") as temporary:
            temporary.write_bytes(bytes(15_000))

    def _random_size(self, rng: np.random.Generator, largest: int) -> int:
        """A size from 0 to a bit more than the largest."""
        return int(rng.uniform(0, 1.2 * largest)) if rng.random() < 0.7 else int(rng.choice([0, 1, 512, 4096]))


def check_refusal(child: Child, status: int, folder: Path) -> None:
    """Fail unless a child ended well, or with an error that says which file cannot be written.

    Raises:
        Failure: it ended in another way.
    """
    first = child.error.partition("\n")[0]
    if status == 0:
        return
    if status != 1 or not first.startswith(("OSError", "RecordError", "PermissionError")):
        raise Failure(f"with a full disk: status {status}, {child.error}")
    if str(folder) not in first:
        raise Failure(f"the error does not name the file: {first}")


def _limit_files(limit: int, kills: bool, function: Callable[[], None]) -> None:
    """Call a function while no file may grow beyond a limit; a write beyond it is an error, or kills."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if kills else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    function()


def _contents(folder: Path) -> dict[str, bytes]:
    """Names and contents of the files; temporary files of a killed process are left out."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
