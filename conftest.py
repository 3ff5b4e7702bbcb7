"""Lets ``python -m pytest`` work in a bare checkout, where ``envs/`` and ``agents/`` are not yet mapped."""

from pathlib import Path

import glimpse_gym

_root = str(Path(__file__).parent)
if _root not in glimpse_gym.__path__:
    glimpse_gym.__path__.append(_root)
