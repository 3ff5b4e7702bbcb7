"""Scores of agents as stored in ``agent.json``: means over the seeds of their evaluations. Does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def mean_errors(scores: Sequence[dict[str, Any]], split: str, locations: str, sample: bool) -> np.ndarray:
    """Average the errors of one condition over the seeds.

    Evaluations with another number of errors than the first are left out: their envs had other numbers of glimpses.

    Args:
        scores: entries as of :class:`glimpse_gym.agents.evaluation.Score`.
        split, locations, sample: the condition.

    Returns:
        float64 (T,); (0,) if there is no such score.
    """
    condition = {"split": split, "locations": locations, "sample": sample}
    curves = [score["errors"] for score in scores if condition.items() <= score.items()]
    same = [errors for errors in curves if len(errors) == len(curves[0])]
    return np.mean(same, axis=0) if same else np.zeros(0)
