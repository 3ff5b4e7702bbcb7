"""Several processes at once in one folder: runs, recordings, and downloads of a data set."""

import os
import time
from pathlib import Path

import numpy as np

import recordings
import tiny_data
from glimpse_gym.agents.run_state import load_state
from glimpse_gym.images.datasets import DATA_SETS, fetch
from glimpse_gym.play import recording
from hostile import tiny_run
from hostile.forked import Child
from hostile.trial import Failure, Trial

_REFUSALS = ("holds a run", "changed by another run", "is in use by")


class Processes(Trial):
    def __init__(self, folder):
        super().__init__(folder)
        self.undisturbed = [tiny_run.Undisturbed(folder / str(seed), seed) for seed in range(2)]
        self.record = recordings.play(recordings.catch_env())
        os.environ["no_proxy"] = "127.0.0.1"

    def attempt(self, rng, folder):
        """Let two or three processes do the same at the same time."""
        kinds = (self._runs, self._runs, self._recordings, self._downloads)
        kinds[int(rng.integers(4))](rng, folder, int(rng.integers(2, 4)))
        return 1

    def _runs(self, rng: np.random.Generator, folder: Path, number: int) -> None:
        """Runs in one folder: one trains, the others are refused; then the run ends as if it had been alone."""
        run = folder / "run"
        seeds = [0] * number if rng.random() < 0.5 else rng.integers(0, 2, number).tolist()
        resumes = [True] * number if rng.random() < 0.5 else (rng.random(number) < 0.5).tolist()
        children = []
        for seed, resume in zip(seeds, resumes, strict=True):
            children.append(Child(lambda seed=seed, resume=resume: tiny_run.train(run, resume, seed=seed)))
            time.sleep(float(rng.choice([0, 0, rng.uniform(0, self.undisturbed[0].seconds)])))
        killed = int(rng.integers(number)) if rng.random() < 0.3 else None
        if killed is not None and children[killed].poll(float(rng.uniform(0, 0.2))) is None:
            children[killed].kill()  # its lock must not stand in the way of the others
        for i, child in enumerate(children):
            if i != killed:
                _check_run(child, run)
        last = self._owner(run)
        last.check_finish(run)

    def _owner(self, run: Path) -> tiny_run.Undisturbed:
        """The undisturbed run with the seed of the run in the folder."""
        if not (run / tiny_run.STATE).exists():  # killed before the first save
            return self.undisturbed[0]
        return self.undisturbed[load_state(run, 100_000_000)["settings"]["seed"]]

    def _recordings(self, rng: np.random.Generator, folder: Path, number: int) -> None:
        """Episodes recorded into one folder by several processes: each gets a file of its own."""
        count = int(rng.integers(1, 5))

        def record() -> None:
            for _ in range(count):
                recording.save_record(recording.open_recording(folder), self.record)

        for child in [Child(record) for _ in range(number)]:
            if child.wait() != 0:
                raise Failure(f"an episode was not recorded: {child.error}")
        records = recording.load_records(folder)
        if len(records) != number * count:
            raise Failure(f"{number} processes recorded {count} episodes each, and there are {len(records)}")
        tiny_run.check_no_temporary_files(folder)

    def _downloads(self, rng: np.random.Generator, folder: Path, number: int) -> None:
        """A data set that several processes need: one downloads it, even if another one is killed."""
        mirror = tiny_data.Mirror(delay=float(rng.uniform(0, 0.05)))
        DATA_SETS["tiny"] = tiny_data.tiny_set(mirrors=[mirror.address])
        os.environ["GLIMPSE_GYM_DATA"] = str(folder)
        try:
            children = [Child(lambda: fetch("tiny", progress=False) and None) for _ in range(number)]
            if rng.random() < 0.5 and children[0].poll(float(rng.uniform(0, 0.2))) is None:
                children.pop(0).kill()
            for child in children:
                if (status := child.wait()) != 0:
                    raise Failure(f"the data set was not fetched: status {status}, {child.error}")
        finally:
            mirror.close()
            del DATA_SETS["tiny"], os.environ["GLIMPSE_GYM_DATA"]
        if tiny_data.files_in(folder / "tiny") != tiny_data.CONTENTS:
            raise Failure(f"the data set is not whole: {sorted(tiny_data.files_in(folder / 'tiny'))}")
        if len(children) == number and max(mirror.requests.values()) > 1:
            raise Failure(f"a file was downloaded several times: {mirror.requests}")


def _check_run(child: Child, run: Path) -> None:
    status = child.wait()
    first = child.error.partition("\n")[0]
    if status == 0:
        return
    if not first.startswith(("FolderInUseError", "CheckpointError")) or not any(text in first for text in _REFUSALS):
        raise Failure(f"of several processes, one ended with status {status}: {child.error}")
    if str(run) not in first or ("is in use" in first and "process" not in first):
        raise Failure(f"the error names neither the folder nor the process: {first}")
