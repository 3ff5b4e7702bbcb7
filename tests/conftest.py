"""What all tests share."""

import os
import tempfile

import pytest

# Numba keeps compiled code by the file it is in, and would not see a change in a function called from another file.
_cache = tempfile.TemporaryDirectory(prefix="numba-")
os.environ["NUMBA_CACHE_DIR"] = _cache.name


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Threads of torch that wait for each other on busy cores make the suite many times slower."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def no_agents(monkeypatch, tmp_path):
    """As if no agent were shipped."""
    from glimpse_gym.agents import pretrained as shipped
    from glimpse_gym.agents.experiments import report as page

    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(shipped, "SHIPPED", folder)
    monkeypatch.setattr(page, "SHIPPED", folder)
    return folder
