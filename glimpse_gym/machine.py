"""Description of the machine that measurements were taken on."""

from __future__ import annotations

import platform


def machine_name() -> str:
    """Return the names of the processor and the operating system."""
    try:
        with open("/proc/cpuinfo") as file:
            processor = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return f"{processor}, {platform.system()}"
