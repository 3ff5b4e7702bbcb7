"""Tables of speed from a measurement that ``glimpse-gym bench --save FILE`` has written."""

import json
from pathlib import Path
from typing import Any

from glimpse_gym.bench.worlds import REFERENCE_ID


def load_speeds(path: Path) -> dict[str, Any]:
    """Read a measurement."""
    return json.loads(path.read_text(encoding="utf-8"))


def speed_table(speeds: dict[str, Any], env_ids: list[str]) -> str:
    """Make a Markdown table of some envs, beside CartPole.

    Args:
        speeds: a measurement.
        env_ids: the envs, of which those that were not measured are left out.
    """
    headings = {"vector": f"{speeds['num_envs']} sub-envs, steps/s", "single": "single env, steps/s"}
    lines = ["| | " + " | ".join(f"{heading} | ratio" for heading in headings.values()) + " |", "| --- " * 5 + "|"]
    for env_id in (REFERENCE_ID, *env_ids):
        if all(env_id in speeds[kind] for kind in headings):
            rows = [speeds[kind][env_id] for kind in headings]
            cells = [f"{row['steps_per_second']:,} | {row['ratio']:.2f}" for row in rows]
            lines.append(f"| `{env_id}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)
