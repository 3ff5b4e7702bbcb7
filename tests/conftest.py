"""What all tests share."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Threads of torch that wait for each other on busy cores make the suite many times slower."""
    import torch

    torch.set_num_threads(1)
