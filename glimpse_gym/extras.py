"""Optional dependencies: one check, whose error names all missing packages at once."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS: dict[str, tuple[str, ...]] = {
    "agents": ("torch", "safetensors", "matplotlib", "tensorboard"),
    "browser": ("safetensors",),
    "figures": ("matplotlib",),
    "large": ("tifffile",),
    "sb3": ("pebble", "sb3_contrib", "stable_baselines3"),
    "ray": ("ray",),
    "search": ("optuna",),
    "zoo": ("rl_zoo3",),
    "minari": ("minari", "h5py", "jax"),
    "video": ("moviepy",),
}
"""Extras of setup.cfg, each with the top-level modules that this package itself imports."""


def require_extra(name: str) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Args:
        name: a key of EXTRAS.

    Raises:
        ModuleNotFoundError: if some are missing; the message names all of them and the command that installs them.
    """
    missing = [module for module in EXTRAS[name] if find_spec(module) is None]
    if missing:
        names = " and ".join([", ".join(missing[:-1])] * (len(missing) > 1) + missing[-1:])
        verb = "is" if len(missing) == 1 else "are"
        raise ModuleNotFoundError(f"{names} {verb} not installed: pip install 'glimpse_gym[{name}]'", name=missing[0])
