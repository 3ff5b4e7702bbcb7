"""Makes ``python -m pytest`` work in a checkout that is not installed, where envs/ and agents/ are not mapped yet."""

from pathlib import Path

import glimpse_gym

_root = str(Path(__file__).parent)
if _root not in glimpse_gym.__path__:
    glimpse_gym.__path__.append(_root)
