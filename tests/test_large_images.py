"""Images that stay in their file, against glimpses of the same images in memory and a slow oracle."""

import math
import os
import pickle

import gymnasium as gym
import numpy as np
import pytest

import oracles
from glimpse_gym import Retina
from glimpse_gym.images import DataError, LargeImages, build_pyramid_of, open_images, open_large
from glimpse_gym.images.large import reduced_size
from glimpse_gym.play.episode import Episode, PlayEnv
from glimpse_gym.play.episode_record import load_record
from glimpse_gym.play.record_view import draw_record
from glimpse_gym.play.recording import save_record


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def random_locations(count, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


@pytest.fixture
def save(tmp_path):
    def save(images, name="images.npy"):
        np.save(tmp_path / name, images)
        return tmp_path / name

    return save


# ---------------------------------------------------------------- glimpses


@pytest.mark.parametrize(
    ("shape", "full", "num_images"),
    [
        ((30, 41), (1, 30, 41, 1), None),
        ((30, 41, 3), (1, 30, 41, 3), None),
        ((3, 30, 41), (3, 30, 41, 1), None),
        ((3, 30, 41), (3, 30, 41, 1), 3),
        ((2, 30, 4), (2, 30, 4, 1), 2),
        ((1, 30, 4), (1, 30, 4, 1), 1),
        ((30, 41, 2), (1, 30, 41, 2), 1),
        ((3, 30, 41, 2), (3, 30, 41, 2), None),
    ],
)
def test_glimpses_equal_the_oracle(save, shape, full, num_images):
    images = random_images(*shape)
    large = open_large(save(images), num_images)
    locations = random_locations(12)
    index = np.arange(12) % full[0]
    glimpses = Retina(3, 4).sense_large(large, locations, index)
    expected = oracles.sense(images.reshape(full)[index], locations, 3, 4)
    assert (len(large), large.size, large.num_channels) == (full[0], full[1:3], full[3])
    np.testing.assert_array_equal(glimpses, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_cells_of_a_grid_are_images_with_zeros_around(save, channels):
    canvas = random_images(60, 80, channels)
    large = open_large(save(canvas), 1, (3, 4))
    cells = [canvas[20 * i : 20 * i + 20, 20 * j : 20 * j + 20] for i in range(3) for j in range(4)]
    index, locations = np.arange(24) % 12, random_locations(24)
    expected = oracles.sense(np.array(cells)[index], locations, 4, 3)
    np.testing.assert_array_equal(Retina(4, 3).sense_large(large, locations, index), expected)
    np.testing.assert_array_equal(np.atleast_3d(large.image(7)), cells[7])


def test_an_index_for_all_is_broadcast(save):
    images = random_images(3, 9, 9)
    large = open_large(save(images))
    locations = random_locations(4)
    expected = oracles.sense(images[[2] * 4], locations, 3, 1)
    np.testing.assert_array_equal(Retina(3).sense_large(large, locations, 2), expected)


def test_errors_of_arguments(save):
    large = open_large(save(random_images(3, 9, 9)))
    with pytest.raises(TypeError, match="images must be LargeImages, got ndarray; use"):
        Retina(3).sense_large(np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match="index must be from 0 to 2, got 3"):
        Retina(3).sense_large(large, np.zeros((1, 2), np.float32), 3)
    with pytest.raises(ValueError, match=r"index must be integers of shape \(1,\)"):
        Retina(3).sense_large(large, np.zeros((1, 2), np.float32), [0, 1])
    with pytest.raises(ValueError, match="location must be finite"):
        Retina(3).sense_large(large, np.full((1, 2), np.nan, np.float32))
    with pytest.raises(ValueError, match="more than max_bytes=10"):
        Retina(3).sense_large(large, np.zeros((1, 2), np.float32), max_bytes=10)


# ---------------------------------------------------------------- the env


def make(path, **kwargs):
    settings = {"patch_size": 4, "num_scales": 3, "num_glimpses": 3, "split": "all"}
    return gym.make("glimpse_gym/Images-v0", **settings | {"images": path} | kwargs)


def test_episodes_equal_those_of_the_array(save):
    images, labels = random_images(20, 30, 30, 3), np.arange(20) % 4
    path = str(save(images))
    for split in ("train", "test", "all"):
        envs = [
            gym.make_vec("glimpse_gym/Images-v0", num_envs=5, images=source, labels=labels, split=split, num_scales=2)
            for source in (images, path)
        ]
        for each in envs:
            each.action_space.seed(0)
        (first, _), (second, _) = (each.reset(seed=3) for each in envs)
        for _ in range(20):
            for name in first:
                np.testing.assert_array_equal(first[name], second[name])
            action = envs[0].action_space.sample()
            (first, *_, info), (second, *_, other) = (each.step(action) for each in envs)
            np.testing.assert_array_equal(info["image_index"], other["image_index"])
            np.testing.assert_array_equal(info["label"], other["label"])
        np.testing.assert_array_equal(envs[0].unwrapped.image[0], envs[1].unwrapped.image[0])


def test_labels_are_found_beside_the_file_and_may_be_a_grid(save):
    canvas = random_images(60, 80)
    path = save(canvas)
    with pytest.raises(ValueError, match=r"labels are missing: there is no .*images.labels.npy; give labels="):
        open_images(path)
    save(np.arange(12).reshape(3, 4) % 5, "images.labels.npy")
    images = open_images(path)
    assert (len(images), images.num_classes, images.pixels.size) == (12, 5, 0)
    np.testing.assert_array_equal(images.labels, np.arange(12) % 5)
    np.testing.assert_array_equal(images.image(6), canvas[20:40, 40:60])
    assert len(open_images(path, split="test")) == 1
    np.testing.assert_array_equal(open_images(path, split="test").image(0), canvas[40:60, 20:40])


def test_a_set_is_pickled_as_its_path(save):
    path = save(random_images(500, 500))
    images = open_images(path, [[0, 1], [1, 0]])
    content = pickle.dumps(images)
    assert len(content) < 2000
    copy = pickle.loads(content)
    np.testing.assert_array_equal(copy.image(2), images.image(2))
    np.testing.assert_array_equal(copy.labels, [0, 1, 1, 0])


def test_render_and_text_show_the_glimpses(save):
    images = random_images(2, 30, 30)
    path = str(save(images))
    action = {"next_location": np.array([0.3, -0.2], np.float32), "label": 0}
    for mode in ("rgb_array", "ansi"):
        frames = []
        for source in (images, path):
            env = make(source, labels=[0, 1], render_mode=mode)
            env.reset(seed=1)
            env.step(action)
            frames.append(env.render())
        np.testing.assert_array_equal(frames[0], frames[1])


def test_a_picture_of_a_large_image_is_reduced(save):
    image = random_images(4200, 3000)
    large = open_large(save(image))
    picture = large.picture(0)
    assert picture.shape == reduced_size((4200, 3000)) == (525, 375)
    np.testing.assert_allclose(picture, image.reshape(525, 8, 375, 8).mean(axis=(1, 3)), atol=0.5)
    build_pyramid_of(large.path)
    with_pyramid = open_large(large.path)
    assert 2 in with_pyramid.levels
    np.testing.assert_array_equal(with_pyramid.picture(0), picture)
    env = make(large.path, labels=[1], num_classes=2, render_mode="rgb_array")
    env.reset(seed=0)
    np.testing.assert_array_equal(env.unwrapped.world.picture(0), picture)
    assert env.render().shape[2] == 3


@pytest.mark.parametrize("size", [(1, 1), (1024, 1024), (1025, 3), (2048, 2049), (2**20, 5)])
def test_reduced_sizes(size):
    reduced = reduced_size(size)
    factor = 2 ** sum(max(size) > 1024 * 2**i for i in range(11))
    assert reduced == tuple(math.ceil(side / factor) for side in size)
    assert max(reduced) <= 1024


def test_a_picture_of_a_cell_of_a_grid(save):
    image = random_images(2048, 4096, 3)
    path = save(image)
    build_pyramid_of(path)
    large = open_large(path, 1, (1, 2))
    means = image[:, 2048:].reshape(1024, 2, 1024, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(large.picture(1), means, atol=0.5)


def test_a_game_is_drawn_and_recorded_with_a_reduced_image(save, tmp_path):
    path = str(save(random_images(2000, 1500)))
    kwargs = {"images": path, "labels": [1], "num_classes": 2, "num_glimpses": 2, "split": "all"}
    episode = Episode(PlayEnv("glimpse_gym/Images-v0", kwargs), seed=0)
    for _ in range(2):
        episode.step(np.array([0.5, -0.5], np.float32), 1)
    record = episode.record("somebody")
    assert (record.image_size, record.images.shape) == ((2000, 1500), (1, 1000, 750))
    folder = tmp_path / "recordings"
    folder.mkdir()
    copy = load_record(save_record(folder, record))
    np.testing.assert_array_equal(copy.images, record.images)
    assert draw_record(copy, 1, (640, 480)).get_size() == (640, 480)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("change", ["write", "append", "replace", "remove"])
def test_a_file_that_changes_is_reported_at_the_next_reset(save, change):
    path = save(random_images(4, 20, 20))
    env = make(str(path), labels=[0, 1, 0, 1])
    env.reset(seed=0)
    if change == "write":
        np.load(path, mmap_mode="r+")[0, 0, 0] ^= 1
        os.utime(path, ns=(1, 1))
    elif change == "append":
        path.write_bytes(path.read_bytes() + b"x")
    elif change == "replace":
        np.save(path.with_name("new.npy"), random_images(4, 20, 20))
        os.replace(path.with_name("new.npy"), path)
    else:
        path.unlink()
    expected = "has vanished since it was opened" if change == "remove" else "has changed since it was opened"
    with pytest.raises(DataError, match=f"images.npy: {expected}.*make the env again"):
        env.reset()
    large = env.unwrapped.world.images.large
    with pytest.raises(DataError, match=expected):
        Retina(2).sense_large(large, np.zeros((1, 2), np.float32))
    if change == "replace":
        make(str(path), labels=[0, 1, 0, 1]).reset()


def damage(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make_file", "message"),
    [
        (
            lambda save: damage(save(random_images(4, 9, 9)), b"not an array"),
            "is not a .npy file that numpy.save wrote",
        ),
        (lambda save: damage(save(random_images(4, 9, 9)), b""), "is not a .npy file that numpy.save wrote"),
        (lambda save: save(np.zeros((4, 9, 9))), "must hold uint8 0..255, got float64; convert it"),
        (lambda save: save(np.array([None])), "must hold plain numbers stored row by row"),
        (lambda save: save(np.asfortranarray(random_images(4, 9, 9))), "must hold plain numbers stored row by row"),
        (lambda save: save(random_images(9)), r"must have shape \(N, H, W\), .* got \(9,\)"),
        (lambda save: save(random_images(4, 9, 0)), r"must have shape"),
        (lambda save: save(random_images(4, 9, 9, 5)), r"must have shape"),
        (lambda save: save(random_images(3, 9, 9)), r"4 labels, one for each image, do not fit the shape \(3, 9, 9\)"),
    ],
)
def test_errors_of_files(save, make_file, message):
    path = make_file(save)
    with pytest.raises((DataError, ValueError), match=message):
        open_images(path, [0, 1, 0, 1])


def test_a_file_that_is_cut_off_or_a_device_is_refused(save, tmp_path):
    path = save(random_images(4, 9, 9))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"has 451 bytes, expected 452 for uint8 .* cut off or is still"):
        open_images(path, [0, 1, 0, 1])
    fifo = tmp_path / "fifo.npy"
    os.mkfifo(fifo)
    with pytest.raises(DataError, match="is not a regular file"):
        open_images(fifo, [0])


def test_errors_of_labels(save):
    path = save(random_images(60, 80))
    with pytest.raises(ValueError, match="7 rows of 2 labels divide one image into cells of equal size, but its sides"):
        open_images(path, np.zeros((7, 2), int))
    with pytest.raises(ValueError, match=r"labels must be integers >= 0 of shape \(N,\), or .* got shape \(1, 1, 1\)"):
        open_images(path, [[[0]]])
    with pytest.raises(DataError, match="must hold integers, got float64"):
        open_images(path, save(np.zeros(1), "labels.npy"))
    with pytest.raises(DataError, match="more than max_bytes=100"):
        open_images(path, save(np.zeros(100, np.uint8), "labels.npy"), max_bytes=100)


@pytest.mark.parametrize("option", [{"canvas_size": 100}, {"num_clutter": 2}, {"rotation": 20.0}])
def test_canvases_are_refused(save, option):
    with pytest.raises(ValueError, match="cannot be placed on a canvas or changed: leave out canvas_size"):
        make(str(save(random_images(4, 20, 20))), labels=[0, 1, 0, 1], **option)


def test_an_image_set_of_a_file_is_opened_once_while_it_does_not_change(save):
    path = save(random_images(4, 20, 20))
    first = open_large(path)
    assert open_large(str(path)) is first
    os.utime(path, ns=(1, 1))
    assert open_large(path) is not first
    assert isinstance(first, LargeImages)
