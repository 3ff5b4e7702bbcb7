"""The render modes of the single and the vector envs, and Gymnasium's wrappers around them."""

import re
import time
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.wrappers import HumanRendering, RecordVideo, RenderCollection
from gymnasium.wrappers.vector import RecordVideo as VectorRecordVideo

import oracles
from glimpse_gym.rendering.drawing import surface_to_array
from glimpse_gym.rendering.frames import tile_frames
from glimpse_gym.rendering.window import WindowClosedError
from pictures import is_even_picture, random_image

CATCH = "glimpse_gym/Catch-v0"
IMAGES = {"images": np.stack([random_image((20, 20), i) for i in range(70)]), "labels": np.arange(70) % 3}
CASES = [(CATCH, {}), ("glimpse_gym/Images-v0", IMAGES | {"num_glimpses": 4})]
every_case = pytest.mark.parametrize(("env_id", "kwargs"), CASES, ids=["catch", "images"])


def make(env_id, mode, kwargs):
    env = gym.make(env_id, render_mode=mode, **kwargs)
    env.unwrapped.metadata["render_fps"] = 1000
    return env


def make_vec(mode, num_envs=3, **kwargs):
    envs = gym.make_vec(CATCH, num_envs=num_envs, vectorization_mode="vector_entry_point", render_mode=mode, **kwargs)
    envs.unwrapped.metadata["render_fps"] = 1000
    return envs


def episode(env, num_episodes=2):
    """Results of all resets and steps of some episodes, with a call of render after each."""
    env.action_space.seed(0)
    results = []
    for i in range(num_episodes):
        results.append(env.reset(seed=3 if i == 0 else None))
        terminated = False
        while not terminated:
            env.render()
            results.append(env.step(env.action_space.sample()))
            terminated = results[-1][2]
            env.render()
    return results


def window_of(env):
    return env.unwrapped._renderer._window


def content(env):
    return surface_to_array(window_of(env)._window.get_surface())


def close_by_user(env):
    pygame.event.post(pygame.event.Event(pygame.WINDOWCLOSE, window=window_of(env)._window))


@every_case
@pytest.mark.parametrize("mode", ["human", "rgb_array", "ansi"])
def test_rendering_changes_neither_states_nor_random_streams(env_id, kwargs, mode):
    env, plain = make(env_id, mode, kwargs), gym.make(env_id, render_mode="rgb_array", **kwargs)
    plain.render = lambda: None
    oracles.assert_identical(episode(env), episode(plain))
    env.close()


def test_metadata_name_the_modes():
    assert gym.make(CATCH).metadata["render_modes"] == ["human", "rgb_array", "ansi"]
    assert make_vec(None).metadata["render_modes"] == ["human", "rgb_array", "ansi"]


@every_case
def test_human_shows_what_rgb_array_draws(env_id, kwargs):
    shown, drawn = make(env_id, "human", kwargs), make(env_id, "rgb_array", kwargs)
    shown.action_space.seed(0)
    for env in (shown, drawn):
        env.reset(seed=1)
    assert np.array_equal(content(shown), drawn.render())
    for _ in range(3):
        action = shown.action_space.sample()
        for env in (shown, drawn):
            env.step(action)
        assert np.array_equal(content(shown), drawn.render())
    shown.reset()
    drawn.reset()
    assert np.array_equal(content(shown), drawn.render())
    assert shown.render() is None
    shown.close()


def test_human_keeps_to_render_fps():
    env = make(CATCH, "human", {})
    env.reset(seed=0)
    env.unwrapped.metadata["render_fps"] = 50
    start = time.perf_counter()
    for _ in range(6):
        env.step(env.action_space.sample())
    assert 0.08 < time.perf_counter() - start < 1
    env.close()


def test_close_closes_the_window_and_may_be_repeated():
    env = make(CATCH, "human", {})
    env.close()
    env.reset(seed=0)
    window = window_of(env)
    env.close()
    assert window.closed
    env.unwrapped.close()


@pytest.mark.parametrize("call", ["step", "render", "reset"])
def test_window_closed_by_the_user(call):
    env = make(CATCH, "human", {}).unwrapped
    env.reset(seed=0)
    close_by_user(env)
    before = env.image
    with pytest.raises(WindowClosedError, match="was closed"):
        getattr(env, call)(*[env.action_space.sample()] * (call == "step"))
    assert np.array_equal(env.image, before)
    with pytest.raises(WindowClosedError):
        env.step(env.action_space.sample())
    env.close()


@pytest.mark.parametrize("num_envs", [1, 3])
def test_window_resized_to_a_sliver(num_envs):
    envs = make_vec("human", num_envs)
    envs.reset(seed=0)
    for size in ((500, 1), (1, 500), (1, 1), (3, 3), (400, 300)):
        window_of(envs)._window.size = size
        envs.step(envs.action_space.sample())
        assert content(envs).shape[:2] == size[::-1]
    envs.close()


def test_vector_window_closed_by_the_user():
    envs = make_vec("human")
    envs.reset(seed=0)
    close_by_user(envs)
    for call in (lambda: envs.step(envs.action_space.sample()), envs.render, envs.reset):
        with pytest.raises(WindowClosedError):
            call()
    envs.close()


def test_resized_window_is_filled():
    env = make(CATCH, "human", {})
    env.reset(seed=0)
    window_of(env)._window.size = (400, 300)
    env.render()
    assert content(env).shape == (300, 400, 3)
    assert (content(env)[20:280, 195:205] != content(env)[0, 0]).any()
    env.close()


def test_render_before_reset_error():
    for mode in ("human", "rgb_array", "ansi"):
        with pytest.raises(ResetNeeded):
            make(CATCH, mode, {}).unwrapped.render()


def test_ansi_is_a_board_of_24_lines():
    env = make(CATCH, "ansi", {})
    env.reset(seed=0)
    for _ in range(4):
        env.step(env.action_space.sample())
    text = env.render()
    assert isinstance(text, str)
    status, *board = re.sub("\x1b\\[[0-9;]*m", "", text).split("\n")
    assert status.startswith("frame 4 / 23   gaze (")
    assert [len(line) for line in board] == [48] * 24


@pytest.mark.parametrize("observe", ["glimpse", "screen"])
def test_ansi_shows_ball_and_paddle_that_are_seen(observe):
    env = gym.make(CATCH, render_mode="ansi", observe=observe, patch_size=24, num_scales=1)
    env.reset(seed=0)
    for _ in range(5):
        env.step({"next_location": np.zeros(2, np.float32), "move": 1})
    lines = re.sub("\x1b\\[[0-9;]*m", "", env.render()).split("\n")[1:]
    board = np.array([[line[i] == "\u2588" for i in range(0, 48, 2)] for line in lines])
    assert np.array_equal(board, env.unwrapped.image == 255)


def test_ansi_remembers_glimpses_of_still_images_only():
    env = make("glimpse_gym/Images-v0", "ansi", {**IMAGES, "num_glimpses": 4, "patch_size": 4, "num_scales": 1})
    env.reset(seed=0)
    seen = []
    for x in (-1, 0, 1):
        env.step({"next_location": np.array([x, x], np.float32), "label": 0})
        runs = re.findall("\x1b\\[([0-9;]*)m([^\x1b]*)", env.render())
        seen.append(sum(len(text) for code, text in runs if not code.endswith("48;2;27;30;42")))
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]


def test_rgb_array_list():
    env = gym.make(CATCH, render_mode="rgb_array_list")
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.action_space.sample())
    frames = env.render()
    assert len(frames) == 4
    assert all(map(is_even_picture, frames))
    assert any((a != b).any() for a, b in pairwise(frames))
    assert isinstance(RenderCollection(gym.make(CATCH, render_mode="rgb_array")), gym.Wrapper)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of moviepy
def test_record_video(tmp_path):
    env = RecordVideo(make(CATCH, "rgb_array", {}), str(tmp_path / "new"), disable_logger=True)
    episode(env, num_episodes=1)
    env.close()
    (video,) = (tmp_path / "new").glob("*.mp4")
    assert video.stat().st_size > 1000


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_record_video_of_a_vector_env(tmp_path):
    envs = make_vec("rgb_array")
    envs = VectorRecordVideo(
        envs, str(tmp_path / "new"), video_length=5, video_aspect_ratio=(1, 1), disable_logger=True
    )
    envs.reset(seed=0)
    for _ in range(7):
        envs.step(envs.action_space.sample())
    envs.close()
    (video,) = (tmp_path / "new").glob("*.mp4")
    assert video.stat().st_size > 1000


def test_human_rendering_wrapper():
    env = HumanRendering(gym.make(CATCH, render_mode="rgb_array"))
    env.metadata["render_fps"] = 1000
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.render() is None
    env.close()


def test_vector_frames_are_those_of_the_rows_and_tile():
    frames, single = make_vec("rgb_array"), make(CATCH, "rgb_array", {})
    frames.reset(seed=0)
    single.reset(seed=1)
    drawn = frames.render()
    assert isinstance(drawn, tuple)
    assert len(drawn) == 3
    assert np.array_equal(drawn[1], single.render())
    tiled = tile_frames(drawn)
    height, width = drawn[0].shape[:2]
    assert np.array_equal(tiled[8 : 8 + height, 16 + width : 16 + 2 * width], drawn[1])


@pytest.mark.parametrize("num_envs", [1, 5])
def test_vector_window_shows_all_sub_envs(num_envs):
    envs = make_vec("human", num_envs)
    envs.reset(seed=0)
    first = content(envs)
    for _ in range(25):  # through an autoreset
        envs.step(envs.action_space.sample())
    assert not np.array_equal(content(envs), first)
    assert envs.render() is None
    window = window_of(envs)
    envs.close()
    assert window.closed


def test_single_and_vector_windows_side_by_side():
    env, envs = make(CATCH, "human", {}), make_vec("human", 2)
    env.reset(seed=0)
    envs.reset(seed=0)
    close_by_user(env)
    envs.step(envs.action_space.sample())
    with pytest.raises(WindowClosedError):
        env.step(env.action_space.sample())
    envs.step(envs.action_space.sample())
    envs.close()
