"""Pictures: what they show is checked pixel by pixel, and what the Recorder remembers against real worlds."""

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glimpse_gym.envs.catch import CatchWorld
from glimpse_gym.envs.classification import ClassificationWorld
from glimpse_gym.rendering import drawing as ink
from glimpse_gym.rendering import frames as rendering
from glimpse_gym.rendering.figures import Gaze, gaze_frames, save_gif, save_png, scanpath_plate
from glimpse_gym.rendering.frames import Recorder, draw
from glimpse_gym.rendering.scene import Stage
from glimpse_gym.retina import Retina
from glimpse_gym.world import Action

SHAPES = [(28, 28), (28, 28, 1), (1, 1), (1, 1, 3), (17, 40, 3), (9, 30, 2), (30, 9, 4), (700, 1100), (900, 30, 3)]
HERE = np.zeros((1, 2), np.float32)


def some_image(shape, seed=0):
    return np.random.default_rng(seed).integers(1, 256, shape, dtype=np.uint8)


def some_fixations(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


def picture_of(image, fixations, retina, **kwargs):
    glimpse = retina.sense(image[np.newaxis], fixations[-1:])[0]
    return draw(image, fixations, retina, glimpse, **{"time": (len(fixations), 7), "reward": 0.0} | kwargs)


def shows(picture, color):
    return bool((picture == color).all(axis=-1).any())


def is_even_picture(picture):
    return picture.dtype == np.uint8 and picture.shape[2:] == (3,) and not any(n % 2 for n in picture.shape[:2])


def some_gazes(lengths, shape=(30, 30), **kwargs):
    retina = Retina(6, 2)
    return [Gaze(some_image(shape, n), some_fixations(n), retina, **kwargs) for n in lengths]


# ---------------------------------------------------------------- one moment


@pytest.mark.parametrize("retina", [Retina(8), Retina(5, 3), Retina(3, 6), Retina(300, 2), Retina(1, 12)], ids=repr)
def test_the_size_is_even_and_depends_on_the_retina_only(retina):
    pictures = [picture_of(some_image(shape), some_fixations(3), retina) for shape in SHAPES]
    assert all(is_even_picture(picture) for picture in pictures)
    assert len({picture.shape for picture in pictures}) == 1


def test_arguments_are_only_read():
    image, fixations, retina = some_image((20, 30, 3)), some_fixations(4), Retina(4, 2)
    glimpse = retina.sense(image[np.newaxis], fixations[-1:])[0]
    for array in (image, fixations, glimpse):
        array.setflags(write=False)
    first = draw(image, fixations, retina, glimpse, time=(4, 6), reward=0.5, ended=True)
    first[...] = 0
    assert draw(image, fixations, retina, glimpse, time=(4, 6), reward=0.5, ended=True).any()


@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32)),
    st.integers(1, 9),
    st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_what_lies_under_the_finest_patch_is_shown_as_it_is(size, location, patch_size, num_scales):
    retina, location = Retina(patch_size, num_scales), np.array([location], np.float32)
    white = np.full(size, 255, np.uint8)
    stage = Stage(white, retina, location, room=120, margin=10)
    factor = 120 // max(size)
    top, left = ((140 - side * factor) // 2 for side in size)
    window = stage.canvas[top : top + size[0] * factor, left : left + size[1] * factor]
    # The retina itself tells how many pixels its patch covers.
    covered = round(float(retina.sense(white[np.newaxis], location)[0, 0].sum()))
    assert (window == 255).all(axis=-1).sum() == covered * factor**2
    for scale in range(num_scales):
        row, column = retina.corner(location[0], size, scale)
        side = retina.side(scale)
        edges = (top + row * factor, left + column * factor)
        assert stage.box(location[0], scale) == (*edges, edges[0] + side * factor, edges[1] + side * factor)


def test_the_finer_the_brighter_and_the_unseen_is_faint():
    image = some_image((40, 40, 3))
    stage = Stage(np.full((40, 40), 255, np.uint8), Retina(4, 3), HERE, room=40, margin=0)
    finest, middle, coarsest, unseen = (int(stage.canvas[20, column, 0]) for column in (20, 23, 27, 38))
    assert 255 == finest > middle > coarsest > unseen > 40
    color = Stage(image, Retina(4, 3), HERE, room=80, margin=0)
    assert np.array_equal(color.canvas[36:44:2, 36:44:2], image[18:22, 18:22])
    assert np.array_equal(color.canvas[37:44:2, 37:44:2], image[18:22, 18:22])


def test_an_image_too_large_is_shrunk_and_its_boxes_with_it():
    image = np.zeros((1000, 500), np.uint8)
    stage = Stage(image, Retina(100), HERE, room=200, margin=20)
    assert stage.box(HERE[0], 0) == (20 + 90, 20 + 50 + 40, 20 + 110, 20 + 50 + 60)


def test_earlier_glimpses_light_the_image_but_not_where_it_moves():
    image, fixations = np.full((20, 20), 255, np.uint8), np.array([[-0.8, -0.8], [0.8, 0.8]], np.float32)
    spot = 84 + 24 + 30, 24 + 24 + 30  # in the upper left of the image, off the line
    still = picture_of(image, fixations, Retina(4))
    moving = picture_of(image, fixations, Retina(4), image_moves=True)
    assert still[spot].min() == 255
    assert moving[spot].max() < 128


def test_boxes_have_the_colors_of_their_tiles():
    image, retina = np.zeros((48, 48), np.uint8), Retina(8, 3)
    picture = picture_of(image, HERE, retina)
    stage = Stage(image, retina, HERE, rendering._ROOM, rendering._MARGIN)
    for scale in range(3):
        top, left, bottom, right = stage.box(HERE[0], scale)
        color = ink.SCALES[scale]
        for y, x in ((top - 1, left - 1), (top, left), (bottom - 1, right - 1), (bottom, right)):
            assert tuple(picture[84 + y, 24 + x]) == color
        assert shows(picture[:, 24 + 528 + 24 :], color)


def test_tiles_show_the_glimpse_scale_by_scale():
    red, green = np.zeros((3, 4, 4), np.float32), np.zeros((3, 4, 4), np.float32)
    red[0], green[1] = 1, 0.5
    glimpse = np.concatenate([red, green])
    picture = draw(some_image((9, 9, 3)), HERE, Retina(4, 2), glimpse, time=(1, 2), reward=0.0)
    right = picture[84 : 84 + 528, 24 + 528 + 24 :]
    assert shows(right[:264], (255, 0, 0))
    assert not shows(right[264:], (255, 0, 0))
    assert shows(right[264:], (0, 128, 0))
    assert not shows(right[:264], (0, 128, 0))


def test_time_and_reward_are_told():
    image, retina = some_image((9, 9)), Retina(4)
    under_way = picture_of(image, HERE, retina, reward=0.0)
    assert not np.array_equal(under_way, picture_of(image, HERE, retina, time=(2, 7)))
    assert not np.array_equal(under_way, picture_of(image, HERE, retina, reward=1.0))
    assert np.array_equal(under_way, picture_of(image, HERE, retina, reward=-0.0))
    won = picture_of(image, HERE, retina, reward=1.0, ended=True)
    lost = picture_of(image, HERE, retina, reward=0.0, ended=True)
    seen = [(shows(p, ink.GOOD), shows(p, ink.BAD)) for p in (under_way, won, lost)]
    assert seen == [(False, False), (True, False), (False, True)]


@pytest.mark.parametrize("total", [1, 7, 23, 5000])
def test_the_bar_of_time_grows_to_its_end(total):
    def lit(count):
        bar = picture_of(some_image((9, 9)), HERE, Retina(4), time=(count, total))[62, 24:-24]
        return np.flatnonzero((bar == ink.SCALES[0]).all(axis=-1))

    counts = sorted({0, total // 3, total // 2, total})
    lengths = [len(lit(count)) for count in counts]
    assert lengths[0] == 0
    assert lengths == sorted(lengths)
    assert lit(total).max() > 200


# ---------------------------------------------------------------- the recorder


class Camera(Recorder):
    """A recorder that keeps what it hands to ``draw``."""

    def __init__(self, world, monkeypatch):
        super().__init__(world)

        def keep(image, fixations, retina, glimpse, **kwargs):
            self.image, self.fixations, self.glimpse, self.kwargs = image, fixations, glimpse, kwargs
            return draw(image, fixations, retina, glimpse, **kwargs)

        monkeypatch.setattr(rendering, "draw", keep)

    def shot(self, row):
        self.size = self.draw(row).shape
        return len(self.fixations), self.kwargs["time"], self.kwargs["reward"], self.kwargs["ended"]


def digits(num_rows, **kwargs):
    images = np.stack([some_image((12, 10), seed) for seed in range(20)])
    return ClassificationWorld(num_rows, images=images, labels=np.arange(20) % 2, patch_size=4, **kwargs)


def begin(world, recorder):
    rows = np.arange(world.num_rows)
    world.seed(rows, rows)
    world.reset(rows)
    recorder.begin(rows)


def step(world, recorder, choice, seed=0, commits=None, active=None):
    active = world.running.copy() if active is None else np.array(active)
    action = Action(some_fixations(world.num_rows, seed), np.asarray(choice, np.int64), commits)
    outcome = world.step(action, active)
    recorder.follow(outcome.reward, active)


def test_a_classification_is_followed_to_its_end(monkeypatch):
    world = digits(2, num_glimpses=3, num_scales=2, glimpse_cost=0.25)
    camera = Camera(world, monkeypatch)
    begin(world, camera)
    start, answers = world.locations[0].copy(), [world.labels[0], 1 - world.labels[1]]
    shots = [camera.shot(0)]
    for seed in range(3):
        step(world, camera, answers, seed)
        shots.append(camera.shot(0))
    # The last step judges the label; the eye rests.
    assert shots == [
        (1, (1, 3), 0.0, False),
        (2, (2, 3), -0.25, False),
        (3, (3, 3), -0.5, False),
        (3, (3, 3), 0.5, True),
    ]
    assert np.array_equal(camera.fixations, [start, some_fixations(2, 0)[0], some_fixations(2, 1)[0]])
    assert np.array_equal(camera.fixations[-1], world.locations[0])
    assert np.array_equal(camera.image, world.image(0))
    assert np.array_equal(camera.glimpse, world.observe()["glimpse"][0])
    assert camera.shot(1) == (3, (3, 3), -0.5, True)
    world.reset(np.array([0]))
    camera.begin(np.array([0]))
    assert camera.shot(0) == (1, (1, 3), 0.0, False)


def test_an_early_answer_is_no_look(monkeypatch):
    world = digits(2, num_glimpses=5)
    camera = Camera(world, monkeypatch)
    begin(world, camera)
    step(world, camera, world.labels, commits=np.array([True, False]))
    assert camera.shot(0) == (1, (1, 5), 1.0, True)
    assert camera.shot(1) == (2, (2, 5), 0.0, False)


def test_a_game_of_catch_is_followed_frame_by_frame(monkeypatch):
    world = CatchWorld(1, num_glimpses=6, patch_size=3, num_scales=2)
    camera = Camera(world, monkeypatch)
    begin(world, camera)
    sizes = set()
    for frame in range(7):
        assert camera.shot(0)[:2] == (frame + 1, (frame, 6))
        assert camera.kwargs["image_moves"]
        assert np.array_equal(camera.image, world.screens[0])
        sizes.add(camera.size)
        if frame < 6:
            step(world, camera, [1], frame)
    assert len(sizes) == 1
    assert camera.shot(0)[2:] == (float(world.caught[0]), True)


def test_rows_rest_and_begin_anew_on_their_own(monkeypatch):
    world = CatchWorld(3, num_glimpses=4)
    camera = Camera(world, monkeypatch)
    begin(world, camera)
    step(world, camera, [1, 1, 1], active=[True, False, True])
    world.reset(np.array([2]))
    camera.begin(np.array([2]))
    assert [camera.shot(row)[:2] for row in range(3)] == [(2, (1, 4)), (1, (0, 4)), (1, (0, 4))]


def test_there_is_nothing_to_draw_before_an_episode():
    world = CatchWorld(2)
    recorder = Recorder(world)
    world.reset(np.array([0]))
    recorder.begin(np.array([0]))
    assert is_even_picture(recorder.draw(0))
    with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
        recorder.draw(1)


# ---------------------------------------------------------------- many episodes


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_plates_and_mosaics_of_any_image_are_even(shape):
    gazes = some_gazes([1, 3, 12], shape, caption="a → b", good=True)
    for columns in (1, 2, 6):
        for picture in (scanpath_plate(gazes, title="seen", columns=columns), *gaze_frames(gazes, columns=columns)):
            assert is_even_picture(picture)


def test_a_plate_of_images_of_several_sizes_keeps_its_grid():
    gazes = some_gazes([2], (10, 10)) + some_gazes([2], (90, 40, 3)) + some_gazes([2], (600, 600))
    alike = some_gazes([2, 2, 2], (600, 600))
    assert scanpath_plate(gazes).shape == scanpath_plate(alike).shape


def test_captions_are_colored_by_how_it_ended():
    shown = {}
    for good in (True, False, None):
        plate = scanpath_plate(some_gazes([2], caption="7 → 7", good=good))
        # Thin letters need not reach their full color anywhere.
        off = [np.abs(plate[-40:].astype(int) - color).sum(axis=-1) for color in (ink.GOOD, ink.BAD)]
        shown[good] = tuple(bool((distance < 60).any()) for distance in off)
    assert shown == {True: (True, False), False: (False, True), None: (False, False)}
    with_arrow, without = (scanpath_plate(some_gazes([2], caption=text)) for text in ("7 → 7", "7   7"))
    assert not np.array_equal(with_arrow, without)


def test_the_path_on_a_plate_runs_from_early_to_late():
    plate = scanpath_plate([Gaze(np.zeros((9, 9), np.uint8), np.array([[-0.8, 0], [0.8, 0]]), Retina(2))])
    middle = plate.shape[1] // 2
    early, late = ink.EARLY_TO_LATE[[0, -1]].astype(int)
    assert shows(plate[:, :middle], early)
    assert not shows(plate[:, middle:], early)
    assert shows(plate[:, middle:], late)


def test_guesses_are_judged_at_the_last_glimpse_only():
    short, long = some_gazes([2, 4], good=True, guesses=("1", "2", "3", "4"))
    frames = gaze_frames([short._replace(good=False), long])
    judged = [(shows(f, ink.GOOD), shows(f, ink.BAD)) for f in frames]
    assert judged == [(False, False), (False, True), (False, True), (True, True)]
    assert len({frame.shape for frame in frames}) == 1
    assert all((a != b).any() for a, b in pairwise(frames))


def test_a_long_guess_stays_clear_of_the_marks_of_time():
    short, long = (gaze_frames(some_gazes([1], guesses=(text,)))[0] for text in ("x", "a very long-winded guess"))
    different = np.flatnonzero((short != long).any(axis=(0, 2)))
    assert 0 < different.max() < 0.45 * short.shape[1]


@pytest.mark.parametrize("make", [scanpath_plate, gaze_frames])
def test_nothing_is_refused(make):
    for gazes in ([], some_gazes([2, 0])):
        with pytest.raises(ValueError, match="nothing to draw"):
            make(gazes)


# ---------------------------------------------------------------- files


def test_a_png_holds_the_picture_exactly(tmp_path):
    picture = picture_of(some_image((9, 9)), HERE, Retina(4))
    save_png(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as stored:
        assert np.array_equal(np.asarray(stored), picture)
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_gif_keeps_frames_durations_and_the_colors_that_matter(tmp_path):
    frames = gaze_frames(some_gazes([5, 5], good=True, guesses=tuple("12345")))
    save_gif(tmp_path / "a.gif", frames, [200, 200, 200, 200, 1500])
    with Image.open(tmp_path / "a.gif") as stored:
        durations, pictures = [], []
        for index in range(stored.n_frames):
            stored.seek(index)
            durations.append(stored.info["duration"])
            pictures.append(np.asarray(stored.convert("RGB")))
        assert stored.info["loop"] == 0
    assert durations == [200, 200, 200, 200, 1500]
    assert [picture.shape for picture in pictures] == [frame.shape for frame in frames]
    assert shows(pictures[-1], ink.GOOD)
    assert not shows(pictures[0], ink.GOOD)
    for picture, frame in zip(pictures, frames, strict=True):
        assert np.abs(picture.astype(int) - frame).mean() < 4


def test_a_gif_needs_frames_and_as_many_durations(tmp_path):
    for frames, durations in (([], 100), (gaze_frames(some_gazes([2])), [100])):
        with pytest.raises(ValueError, match="a duration for each"):
            save_gif(tmp_path / "a.gif", frames, durations)
    assert os.listdir(tmp_path) == []


def spoilt_save(self, name, *args, **kwargs):
    with open(name, "wb") as file:
        file.write(b"half")
    raise OSError("disk full")


def spoilt_replace(source, target):
    raise OSError("not allowed")


@pytest.mark.parametrize("spoil", [(Image.Image, "save", spoilt_save), (os, "replace", spoilt_replace)])
@pytest.mark.parametrize("save", [save_png, lambda path, picture: save_gif(path, [picture], 100)])
def test_a_failed_write_leaves_everything_as_it_was(tmp_path, monkeypatch, spoil, save):
    (tmp_path / "old").write_bytes(b"before")
    monkeypatch.setattr(*spoil)
    for name in ("old", "new"):
        with pytest.raises(OSError, match=r"disk full|not allowed"):
            save(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"before"


def test_importing_does_not_load_pillow():
    program = "import sys, glimpse_gym.rendering.frames; print('PIL' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
