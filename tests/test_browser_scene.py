"""Scenes of the page in headless Chromium, and its rules and agents, against Python."""

import numpy as np
import pytest

from browser_episodes import PAGE_ENV_IDS, REPLAY, compare, for_replay, make_env, record
from chromium import wait_for_status
from glimpse_gym.agents.checkpoint import load_metadata
from glimpse_gym.agents.pretrained import agent_folder, pretrained_names
from glimpse_gym.rendering.appearance import MEMORY_FADE

# ---------------------------------------------------------------- rules and agents


@pytest.mark.parametrize("env_id", PAGE_ENV_IDS)
def test_recorded_episodes_are_replayed(open_page, env_id):
    check_replay(open_page, record(env_id, seeds=(0, 2**64 - 1)))


@pytest.mark.parametrize("name", pretrained_names())
def test_recorded_episodes_of_agents_are_replayed(open_page, name):
    env_id = load_metadata(agent_folder(name)).env_id
    check_replay(open_page, record(env_id, name, seeds=(0, 1)))


def check_replay(open_page, run):
    with open_page() as page:
        compare(run, page.evaluate(f"input => {{ {REPLAY}; return replay(input); }}", for_replay(run)))


# ---------------------------------------------------------------- the scene


def seen_in(page, side):
    """Gray values of the image on the scene, int (side, side); -1 where the page shows that nothing was seen."""
    pixels = np.array(
        page.evaluate(
            """side => {
                const canvas = document.getElementById("scene");
                const fitting = (0.96 * canvas.width) / side;
                const factor = Math.floor(fitting) > 0.9 * fitting ? Math.floor(fitting) : fitting;
                const first = Math.floor((canvas.width - Math.round(factor * side)) / 2);
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                const at = (i) => Array.from(data.slice(4 * i, 4 * i + 3));
                const places = Array.from({ length: side }, (_, i) => first + Math.floor(factor * (i + 0.5)));
                return places.map((y) => places.map((x) => at(y * canvas.width + x)));
            }""",
            side,
        )
    )
    is_gray = (pixels == pixels[..., :1]).all(axis=2)
    return np.where(is_gray, pixels[..., 0], -1)


def seen_by_retina(env, *observations):
    """The same, as the retina of an env saw it: finer patches cover coarser ones, and later glimpses earlier ones."""
    side = env.unwrapped.image.shape[0]
    retina = env.unwrapped.world.retina
    seen = np.full((side, side), -1)
    for scale in reversed(range(retina.num_scales)):
        for age, observation in reversed(list(enumerate(reversed(observations)))):
            patch = np.rint(255 * MEMORY_FADE**age * observation["glimpse"][scale]).astype(int)
            patch = patch.repeat(2**scale, 0).repeat(2**scale, 1)
            row, column = retina.patch_corner(observation["location"], (side, side), scale)
            rows, columns = np.mgrid[row : row + len(patch), column : column + len(patch)]
            inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
            seen[rows[inside], columns[inside]] = patch[inside]
    return seen


@pytest.mark.parametrize(
    ("name", "seed", "height"),
    [
        ("ClutteredMNIST-v0", 17, 960),
        ("ClutteredMNIST-v0", 17, 800),  # the pixels of the image differ in size by one on the screen
        ("MNIST-v0", 7, 960),  # the second glimpse covers nothing of the first
    ],
)
def test_the_scene_shows_the_glimpses_and_nothing_else(open_page, name, seed, height):
    env = make_env(f"glimpse_gym/{name}")
    first, _ = env.reset(seed=seed)
    second, *_ = env.step({"next_location": np.zeros(2), "label": 0})
    side = env.unwrapped.image.shape[0]
    with open_page(f"#{name}/{seed}", viewport={"width": 1300, "height": height}) as page:
        wait_for_status(page, "Glimpse 1 of")
        shown, expected = seen_in(page, side), seen_by_retina(env, first)
        assert ((shown < 0) == (expected < 0)).all()
        assert 0 < (expected > 0).mean() < (expected >= 0).mean() < 1
        assert abs(shown - expected).max() <= 1  # the browser rounds a half otherwise
        page.locator("#scene").click()  # at the center
        wait_for_status(page, "Glimpse 2 of")
        assert abs(seen_in(page, side) - seen_by_retina(env, first, second)).max() <= 1
