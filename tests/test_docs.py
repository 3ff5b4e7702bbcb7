"""The generated page of the docs."""

from pathlib import Path

import gymnasium as gym

from glimpse_gym.registration import document_envs


def test_page_of_envs_is_up_to_date():
    page = Path(__file__).parent.parent / "docs" / "envs.md"
    assert page.read_text().rstrip() == document_envs().rstrip(), "run: glimpse-gym envs --docs > docs/envs.md"
    assert all(env_id in page.read_text() for env_id in gym.registry if env_id.startswith("glimpse_gym/"))
