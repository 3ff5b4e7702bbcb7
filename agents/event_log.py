"""Log of a training run for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class EventLog:
    """File of scalars that TensorBoard reads, complete on disk after every call.

    torch's ``SummaryWriter`` does not fit: it writes from a thread of its own, minutes later, so that a kill loses
    points, and a full disk shows as a traceback of that thread.

    Args:
        folder: made if it is missing; each session of a run adds a file.
        first_step: TensorBoard drops what earlier sessions logged from this step on.

    Raises:
        OSError: the file cannot be written; the message names it.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files in the order of their names.
        self._path = folder / f"events.out.tfevents.{time.time_ns():020d}"
        # The dropping of steps needs the version.
        self._append(Event(step=first_step, wall_time=time.time(), file_version="brain.Event:2"))
        self._append(Event(step=first_step, wall_time=time.time(), session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Log scalars by name; raise an OSError that names the file if it cannot be written."""
        entries = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._append(Event(step=step, wall_time=time.time(), summary=Summary(value=entries)))

    def _append(self, event: Event) -> None:
        try:
            with self._path.open("ab") as file:
                RecordWriter(file).write(event.SerializeToString())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error
