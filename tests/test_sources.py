"""Every kind of image source, and every way in which one can be wrong."""

import copy
import gzip
import hashlib
import pickle
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from glimpse_gym.images import datasets as data
from glimpse_gym.images import sources
from glimpse_gym.images.sources import ImageSet, open_images

RNG = np.random.default_rng(11)
GREY = RNG.integers(0, 256, (20, 5, 6)).astype(np.uint8)
COLOR = RNG.integers(0, 256, (20, 5, 6, 3)).astype(np.uint8)
LABELS = np.arange(20) % 4
BY_INDEX = {
    "train": [*range(8), *range(10, 18)],
    "validation": [8, 18],
    "test": [9, 19],
    "all": list(range(20)),
}


def assert_holds(image_set, images, labels):
    """The set holds exactly these, and keeps what it promises of its arrays."""
    assert len(image_set) == len(images) == len(labels)
    for i, image in enumerate(images):
        seen = image_set.image(i)
        assert seen.dtype == np.uint8
        np.testing.assert_array_equal(seen, image)
        assert not seen.flags.writeable
        assert np.shares_memory(seen, image_set.pixels)
        # The flat layout itself, as a reader of it other than `image` would use it.
        flat = image_set.pixels[image_set.offsets[i] :][: image.size]
        np.testing.assert_array_equal(flat, np.ravel(image))
        assert tuple(image_set.sizes[i]) == image.shape[:2]
    np.testing.assert_array_equal(image_set.labels, labels)
    for array, dtype in (
        *((image_set.pixels, np.uint8), (image_set.offsets, np.int64)),
        *((image_set.sizes, np.int64), (image_set.labels, np.int64)),
    ):
        assert array.dtype == dtype
        assert not array.flags.writeable
        assert array.flags.c_contiguous
    assert image_set.pixels.ndim == 1
    assert image_set.num_classes == len(image_set.class_names)


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


# --- arrays


@pytest.mark.parametrize("split", ["train", "validation", "test", "all"])
@pytest.mark.parametrize("images", [GREY, COLOR], ids=["gray", "color"])
def test_arrays_are_split_by_index(images, split):
    image_set = open_images(images, LABELS, split=split)
    chosen = BY_INDEX[split]
    assert_holds(image_set, images[chosen], LABELS[chosen])
    assert image_set.num_channels == (1 if images.ndim == 3 else 3)
    assert image_set.class_names == ("0", "1", "2", "3")


def test_one_channel_is_grey():
    image_set = open_images(GREY[..., np.newaxis], LABELS)
    assert_holds(image_set, GREY, LABELS)
    assert image_set.num_channels == 1


def test_an_array_is_neither_copied_nor_frozen():
    images = GREY.copy()
    image_set = open_images(images, LABELS, split="test")
    assert np.shares_memory(image_set.pixels, images)
    assert images.flags.writeable


def test_an_array_that_is_not_contiguous():
    images = COLOR.transpose(0, 2, 1, 3)[::2]
    assert_holds(open_images(images, LABELS[::2]), images, LABELS[::2])


@pytest.mark.parametrize("container", [list, tuple])
@pytest.mark.parametrize("channels", [(), (3,), (2,)])
def test_images_of_different_sizes(container, channels):
    rng = np.random.default_rng(3)
    shapes = [(3, 4), (7, 2), (1, 1), (5, 9), (40, 30)] * 2
    images = [rng.integers(0, 256, (*shape, *channels)).astype(np.uint8) for shape in shapes]
    image_set = open_images(container(images), list(range(10)))
    assert_holds(image_set, images, range(10))
    assert image_set.pixels.size == sum(image.size for image in images)
    assert_holds(open_images(images, list(range(10)), split="test"), images[9:], [9])


def test_a_list_may_mix_the_two_forms_of_grey():
    image_set = open_images([GREY[0], GREY[1][..., np.newaxis]], [0, 1])
    assert_holds(image_set, GREY[:2], [0, 1])


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64, list])
def test_label_kinds(kind):
    labels = LABELS.tolist() if kind is list else LABELS.astype(kind)
    assert_holds(open_images(GREY, labels), GREY, LABELS)


def test_number_of_classes():
    assert open_images(GREY, LABELS, num_classes=7).class_names == tuple("0123456")
    assert open_images(GREY, LABELS, num_classes=np.int64(4)).num_classes == 4
    # Class 3 occurs in the training images alone, and counts nevertheless.
    labels = np.zeros(20, int)
    labels[0] = 3
    assert open_images(GREY, labels, split="test").num_classes == 4


# --- .npz


def test_plain_npz(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, images=COLOR, labels=LABELS, other=np.zeros(3))
    for split, chosen in BY_INDEX.items():
        assert_holds(open_images(path, split=split), COLOR[chosen], LABELS[chosen])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_keras_npz(tmp_path, save):
    path = tmp_path / "keras.NPZ"
    with open(path, "wb") as stream:
        save(stream, x_train=GREY, y_train=LABELS[:, np.newaxis], x_test=GREY[:3, :4], y_test=LABELS[:3] + 5)
    train = [*range(9), *range(10, 19)]
    assert_holds(open_images(str(path), split="train"), GREY[train], LABELS[train])
    assert_holds(open_images(str(path), split="validation"), GREY[[9, 19]], LABELS[[9, 19]])
    assert_holds(open_images(str(path), split="test"), GREY[:3, :4], LABELS[:3] + 5)
    everything = [*GREY[train], *GREY[[9, 19]], *GREY[:3, :4]]
    labels = [*LABELS[train], *LABELS[[9, 19]], *LABELS[:3] + 5]
    assert_holds(open_images(str(path), split="all"), everything, labels)
    assert {open_images(path, split=s).num_classes for s in ("train", "test")} == {8}


# --- IDX


@pytest.mark.parametrize("images", [GREY, COLOR], ids=["gray", "color"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files(tmp_path, images, pack):
    (tmp_path / "images").write_bytes(pack(idx(images)))
    (tmp_path / "labels").write_bytes(pack(idx(LABELS)))
    image_set = open_images(tmp_path / "images", str(tmp_path / "labels"), split="train")
    assert_holds(image_set, images[BY_INDEX["train"]], LABELS[BY_INDEX["train"]])
    assert_holds(open_images(tmp_path / "images", LABELS[::-1]), images, LABELS[::-1])


# --- folders


def save_image(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def test_folder_of_classes(tmp_path):
    files = ["b/2.png", "b/1.PNG", "a/x.bmp", "c/z.png", "a/y.gif"]
    for file, pixels in zip(files, GREY, strict=False):
        save_image(tmp_path / file, pixels)
    save_image(tmp_path / "a/.hidden.png", GREY[9])
    save_image(tmp_path / ".hidden/1.png", GREY[9])
    save_image(tmp_path / "loose.png", GREY[9])
    (tmp_path / "a/notes.txt").write_text("not an image")
    (tmp_path / "empty").mkdir()
    image_set = open_images(tmp_path)
    assert image_set.class_names == ("a", "b", "c", "empty")
    assert image_set.num_channels == 1
    assert_holds(image_set, GREY[[2, 4, 1, 0, 3]], [0, 0, 1, 1, 2])
    assert open_images(tmp_path, num_classes=6).class_names == ("a", "b", "c", "empty", "4", "5")


def test_a_folder_is_split_by_index(tmp_path):
    for i in range(20):
        save_image(tmp_path / f"class{i // 10}" / f"{i:02}.png", GREY[i])
    for split, chosen in BY_INDEX.items():
        assert_holds(open_images(tmp_path, split=split), GREY[chosen], np.array(chosen) // 10)


@pytest.mark.parametrize("name", ["validation", "val"])
def test_folder_of_splits(tmp_path, name):
    for i in range(3):
        save_image(tmp_path / f"train/cat/{i}.png", GREY[i])
        save_image(tmp_path / f"test/dog/{i}.png", GREY[3 + i])
    save_image(tmp_path / name / "ant" / "0.png", GREY[6])
    assert_holds(open_images(tmp_path, split="train"), GREY[:3], [1, 1, 1])
    assert_holds(open_images(tmp_path, split="validation"), GREY[6:7], [0])
    assert_holds(open_images(tmp_path, split="test"), GREY[3:6], [2, 2, 2])
    assert_holds(open_images(tmp_path, split="all"), GREY[[0, 1, 2, 6, 3, 4, 5]], [1, 1, 1, 0, 2, 2, 2])
    assert open_images(tmp_path, split="test").class_names == ("ant", "cat", "dog")


def test_folder_of_splits_without_validation(tmp_path):
    for i in range(10):
        save_image(tmp_path / f"train/{i % 2}/{i}.png", GREY[i])
    save_image(tmp_path / "test/0/0.png", GREY[10])
    order = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    labels = np.array(order) % 2
    assert_holds(open_images(tmp_path, split="train"), GREY[order[:9]], labels[:9])
    assert_holds(open_images(tmp_path, split="validation"), GREY[order[9:]], labels[9:])
    assert_holds(open_images(tmp_path, split="all"), GREY[[*order, 10]], [*labels, 0])


def test_one_colored_file_makes_all_rgb(tmp_path):
    save_image(tmp_path / "a/1.png", GREY[0])
    save_image(tmp_path / "a/2.png", COLOR[0])
    save_image(tmp_path / "b/1.png", GREY[1, :3])
    image_set = open_images(tmp_path)
    assert image_set.num_channels == 3
    gray = [np.dstack([image] * 3) for image in (GREY[0], GREY[1, :3])]
    assert_holds(image_set, [gray[0], COLOR[0], gray[1]], [0, 0, 1])


def test_jpeg(tmp_path):
    flat = np.full((8, 8, 3), (10, 200, 90), np.uint8)
    save_image(tmp_path / "a/1.JPG", flat)
    save_image(tmp_path / "a/2.jpeg", flat)
    image_set = open_images(tmp_path)
    assert len(image_set) == 2
    assert np.abs(image_set.image(0).astype(int) - flat).max() <= 3  # JPEG is lossy


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    deep = np.array([[0, 255, 256], [0x1234, 0x8000, 0xFFFF]], np.uint16)
    save_image(tmp_path / "a/1.png", deep)
    assert_holds(open_images(tmp_path), [(deep // 256).astype(np.uint8)], [0])


def test_black_and_white(tmp_path):
    save_image(tmp_path / "a/1.png", np.array([[0, 255], [255, 0]], np.uint8), mode="1")
    assert_holds(open_images(tmp_path), np.array([[[0, 255], [255, 0]]], np.uint8), [0])


def test_transparent_is_white(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0] = [(200, 0, 0, 255), (200, 0, 0, 0), (0, 0, 0, 51)]  # 51 / 255: a fifth of black over white
    save_image(tmp_path / "a/1.png", pixels)
    assert_holds(open_images(tmp_path), np.array([[[(200, 0, 0), (255,) * 3, (204,) * 3]]], np.uint8), [0])


def test_transparent_grey_stays_grey(tmp_path):
    save_image(tmp_path / "a/1.png", np.array([[(90, 255), (90, 0)]], np.uint8))
    with Image.open(tmp_path / "a/1.png") as image:
        assert image.mode == "LA"
    assert_holds(open_images(tmp_path), np.array([[[90, 255]]], np.uint8), [0])


def test_a_palette_of_greys_is_grey(tmp_path):
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    palette.putpalette([9, 9, 9, 200, 200, 200, 50, 50, 50])
    (tmp_path / "a").mkdir()
    palette.save(tmp_path / "a/1.png")
    assert_holds(open_images(tmp_path), np.array([[[9, 200, 50]]], np.uint8), [0])


def test_palettes(tmp_path):
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    palette.putpalette([9, 8, 7, 1, 2, 3, 50, 60, 70])
    (tmp_path / "a").mkdir()
    palette.save(tmp_path / "a/1.png")
    palette.save(tmp_path / "a/2.png", transparency=1)
    palette.save(tmp_path / "a/3.gif")
    plain, clear = [(9, 8, 7), (1, 2, 3), (50, 60, 70)], [(9, 8, 7), (255, 255, 255), (50, 60, 70)]
    assert_holds(open_images(tmp_path), np.array([[plain], [clear], [plain]], np.uint8), [0, 0, 0])


# --- named data sets


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A data set of the form of MNIST, called "tiny", whose files are there."""
    contents = [idx(GREY), idx(LABELS), idx(GREY[:4]), idx(LABELS[:4])]
    names = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images", "labels")]
    (tmp_path / "tiny").mkdir()
    for name, content in zip(names, contents, strict=True):
        (tmp_path / "tiny" / name).write_bytes(content)
    files = tuple(
        data.DataFile(name, len(content), hashlib.md5(content).hexdigest())
        for name, content in zip(names, contents, strict=True)
    )
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    made = data.DataSet("tiny", files, ("zero", "one", "two", "three"), mirrors=(), num_validation=5)
    monkeypatch.setitem(data.DATA_SETS, "tiny", made)
    return "tiny"


def test_named(tiny):
    assert_holds(open_images(tiny, split="train"), GREY[:15], LABELS[:15])
    assert_holds(open_images(tiny, split="validation"), GREY[15:], LABELS[15:])
    assert_holds(open_images(tiny, split="test"), GREY[:4], LABELS[:4])
    assert open_images(tiny, split="test").class_names == ("zero", "one", "two", "three")
    assert open_images(tiny, split="test", num_classes=5).class_names[3:] == ("three", "4")


def test_named_is_one_object_on_the_data_itself(tiny):
    train = open_images(tiny, split="train")
    assert open_images(tiny, None, "train") is train
    assert np.shares_memory(train.pixels, data.load(tiny, "train")[0])
    assert open_images(tiny, split="validation") is not train


def test_named_wants_a_split_and_no_labels(tiny):
    with pytest.raises(ValueError, match=r"'train', 'validation', 'test'.*got 'all'"):
        open_images(tiny)
    with pytest.raises(ValueError, match="leave labels=None"):
        open_images(tiny, LABELS, split="train")
    with pytest.raises(ValueError, match="at least 4"):
        open_images(tiny, split="train", num_classes=3)


# --- copies and pickles


def path_sets(folder):
    """One of each kind that comes from a path."""
    large = np.random.default_rng(5).integers(0, 256, (40, 50, 50)).astype(np.uint8)
    np.savez(folder / "a.npz", images=large, labels=np.arange(40))
    (folder / "images").write_bytes(idx(large))
    (folder / "labels").write_bytes(idx(np.arange(40)))
    for i in range(10):
        save_image(folder / f"tree/{i}/0.png", large[i])
    return {
        "npz": open_images(folder / "a.npz", split="train"),
        "idx": open_images(folder / "images", folder / "labels", "validation", 50),
        "idx and array": open_images(folder / "images", np.arange(40), "test"),
        "tree": open_images(folder / "tree", split="test"),
    }


@pytest.mark.parametrize("kind", ["npz", "idx", "tree"])
def test_path_sets_are_pickled_as_paths(tmp_path, kind):
    image_set = path_sets(tmp_path)[kind]
    pickled = pickle.dumps(image_set)
    assert len(pickled) < 1000
    assert pickle.loads(pickled) is image_set


def test_path_set_with_labels_of_its_own(tmp_path):
    image_set = path_sets(tmp_path)["idx and array"]
    pickled = pickle.dumps(image_set)
    assert len(pickled) < 2000
    again = pickle.loads(pickled)
    assert_holds(again, [image_set.image(i) for i in range(len(image_set))], image_set.labels)


def test_named_sets_are_pickled_by_name(tiny):
    image_set = open_images(tiny, split="train", num_classes=6)
    assert len(pickle.dumps(image_set)) < 200
    assert pickle.loads(pickle.dumps(image_set)) is image_set


def test_a_path_set_reaches_another_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("here.npz", images=GREY, labels=LABELS)
    image_set = open_images("here.npz", split="test")
    (tmp_path / "pickled").write_bytes(pickle.dumps(image_set))
    (tmp_path / "elsewhere").mkdir()
    code = (
        f"import sys, pickle; sys.path[:0] = {sys.path!r}; "
        "s = pickle.load(open('../pickled', 'rb')); print(s.image(1).tobytes().hex(), *s.labels)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path / "elsewhere", check=True
    )
    assert ran.stdout.split() == [GREY[19].tobytes().hex(), "1", "3"]


def test_array_sets_are_pickled_by_value():
    image_set = open_images(list(COLOR), LABELS, split="validation")
    again = pickle.loads(pickle.dumps(image_set))
    assert isinstance(again, ImageSet)
    assert again is not image_set
    assert_holds(again, COLOR[[8, 18]], LABELS[[8, 18]])
    assert again.class_names == image_set.class_names


def test_copies_are_the_set_itself(tiny):
    for image_set in (open_images(tiny, split="test"), open_images(GREY, LABELS)):
        assert copy.deepcopy({"kwargs": [image_set]})["kwargs"][0] is image_set
        assert copy.copy(image_set) is image_set


def test_nothing_of_a_set_can_be_changed():
    image_set = open_images(GREY, LABELS)
    with pytest.raises(AttributeError):
        image_set.labels = LABELS
    for array in (image_set.pixels, image_set.labels, image_set.offsets, image_set.sizes, image_set.image(0)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_paths_are_read_once(tmp_path, monkeypatch):
    for i in range(20):
        save_image(tmp_path / f"tree/{i % 2}/{i:02}.png", GREY[i])
    opened = Counter()
    decode = sources._decode
    monkeypatch.setattr(sources, "_decode", lambda path: opened.update([path.name]) or decode(path))
    train = open_images(tmp_path / "tree", split="train")
    assert open_images(str(tmp_path / "x" / ".." / "tree"), split="train") is train
    test = open_images(tmp_path / "tree", split="test")
    assert np.shares_memory(test.pixels, train.pixels)
    assert set(opened.values()) == {1}
    assert len(opened) == 20


# --- errors: arguments


def one(shape, dtype=np.uint8):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("images", "labels", "error", "words"),
    [
        (
            one((2, 4, 4), np.float32),
            [0, 1],
            TypeError,
            r"images must be uint8 0..255, got float32; multiply by",
        ),
        (one((2, 4, 4), np.int64), [0, 1], TypeError, r"uint8 0..255, got int64; convert"),
        (one((2, 4, 4), object), [0, 1], TypeError, r"uint8 0..255, got object"),
        (one((4, 4)), [0, 1], ValueError, r"\(N, H, W\) or \(N, H, W, C\), got \(4, 4\)"),
        (one((1, 1, 1, 1, 1)), [0], ValueError, r"got \(1, 1, 1, 1, 1\)"),
        (one(()), [0], ValueError, r"got \(\)"),
        (one((0, 4, 4)), [], ValueError, r"size 0, got shape \(0, 4, 4\)"),
        (one((2, 0, 4)), [0, 1], ValueError, r"size 0, got shape \(2, 0, 4\)"),
        (one((2, 4, 0)), [0, 1], ValueError, "size 0"),
        (one((2, 4, 4, 0)), [0, 1], ValueError, "size 0"),
        ([], [], ValueError, "list is empty"),
        ([one((2, 2)), one((0, 2))], [0, 1], ValueError, r"images\[1\].*size 0"),
        ([one((2, 2)), one((2,))], [0, 1], ValueError, r"images\[1\] must have shape \(H, W\)"),
        ([one((2, 2)), one((2, 2), float)], [0, 1], TypeError, r"images\[1\] must be uint8.*float64"),
        (
            [one((2, 2)), one((2, 2, 3))],
            [0, 1],
            ValueError,
            r"channels, got 1 in images\[0\] and 3 in images\[1\]",
        ),
        ([[[1, 2], [3, 4]]], [0], TypeError, r"images\[0\] must be a NumPy array, got list"),
        (None, None, TypeError, "got NoneType"),
        (7, [0], TypeError, "'mnist', 'fashion-mnist'.*a path.*got int"),
        (GREY, None, ValueError, "labels are missing: images needs 20"),
        (GREY, LABELS[:-1], ValueError, r"shape \(20,\).*got \(19,\)"),
        (GREY, LABELS.reshape(2, 10), ValueError, r"shape \(20,\).*got \(2, 10\)"),
        (GREY, 3, ValueError, r"shape \(20,\).*got \(\)"),
        (GREY, LABELS.astype(float), TypeError, "integers from 0 on, got float64"),
        (GREY, LABELS > 1, TypeError, "got bool"),
        (GREY, list("abcdefghijklmnopqrst"), TypeError, "got <U1"),
        (GREY, LABELS - 1, ValueError, r"0 \.\.\. 99999, got -1 \.\.\. 2"),
        (GREY, LABELS * 10**6, ValueError, r"got 0 \.\.\. 3000000"),
        (GREY, np.full(20, 2**64 - 1, np.uint64), ValueError, str(2**64 - 1)),
    ],
)
def test_bad_arrays(images, labels, error, words):
    with pytest.raises(error, match=words):
        open_images(images, labels)


@pytest.mark.parametrize("num_classes", [0, -1, 2.0, "4", 10**9])
def test_bad_number_of_classes(num_classes):
    with pytest.raises(ValueError, match="num_classes must be an integer in 1"):
        open_images(GREY, LABELS, num_classes=num_classes)


def test_a_label_beyond_the_classes():
    # It lies outside the split that is asked for: an error all the same, whatever the split.
    with pytest.raises(ValueError, match=r"at least 4.*got 3"):
        open_images(GREY[:10], [3, *[0] * 9], split="test", num_classes=3)


def test_bad_split():
    with pytest.raises(ValueError, match=r"'train', 'validation', 'test', 'all'.*got 'valid'"):
        open_images(GREY, LABELS, split="valid")


def test_a_split_without_images():
    with pytest.raises(ValueError, match=r"'test' has none of the 5 images.*i % 10 == 9"):
        open_images(GREY[:5], LABELS[:5], split="test")


# --- errors: files


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"'mnist', 'fashion-mnist'.*mnits does not exist"):
        open_images("mnits")
    (tmp_path / "images").write_bytes(idx(GREY))
    with pytest.raises(ValueError, match=r"labels must be the path.*nowhere does not exist"):
        open_images(tmp_path / "images", tmp_path / "nowhere")


def test_bad_idx_files(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx(GREY))
    labels.write_bytes(idx(LABELS)[:-1])
    with pytest.raises(data.DataError, match="labels: truncated"):
        open_images(images, labels)
    with pytest.raises(ValueError, match=r"labels are missing: .*images needs 20"):
        open_images(images)
    labels.write_bytes(idx(LABELS[:-1]))
    with pytest.raises(ValueError, match=r"got \(19,\)"):
        open_images(images, labels)
    labels.write_bytes(idx(LABELS))
    with pytest.raises(ValueError, match=r"labels must have shape \(N, H, W\)"):
        open_images(labels, labels)
    assert len(open_images(images, labels)) == 20  # nothing of the failures was kept
    (tmp_path / "photo.png").write_bytes(b"\x89PNG....")
    with pytest.raises(data.DataError, match=r"photo\.png: not an IDX file"):
        open_images(tmp_path / "photo.png", [0])


def test_bad_npz(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, images=GREY, labels=LABELS)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    for content in (whole[:-30], bytes(damaged), b"no archive", b"", b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        with pytest.raises(data.DataError, match=r"bad\.npz: not a readable \.npz"):
            open_images(path)
    with pytest.raises(ValueError, match="leave labels=None"):
        open_images(path, LABELS)


def test_an_array_file_under_the_wrong_name(tmp_path):
    with open(tmp_path / "array.npz", "wb") as stream:
        np.save(stream, GREY)
    with pytest.raises(data.DataError, match="not a readable"):
        open_images(tmp_path / "array.npz")


def test_npz_with_pickles_is_not_run(tmp_path):
    path = tmp_path / "pickled.npz"
    np.savez(path, images=np.array([GREY[0], None], object), labels=[0, 1])
    with pytest.raises(data.DataError, match=r"plain arrays.*allow_pickle"):
        open_images(path)


@pytest.mark.parametrize(
    ("arrays", "error", "words"),
    [
        ({"images": GREY}, data.DataError, r"'images' and 'labels', or 'x_train'.*it holds \['images'\]"),
        ({"x_train": GREY, "y_train": LABELS}, data.DataError, r"it holds \['x_train', 'y_train'\]"),
        ({"images": GREY / 255, "labels": LABELS}, TypeError, r"a\.npz: images must be uint8.*float64"),
        ({"images": GREY, "labels": LABELS[1:]}, ValueError, r"a\.npz.*got \(19,\)"),
        (
            {"x_train": GREY, "y_train": LABELS, "x_test": COLOR, "y_test": LABELS},
            ValueError,
            "x_train has 1 channels and x_test 3",
        ),
    ],
)
def test_npz_that_holds_something_else(tmp_path, arrays, error, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(error, match=words):
        open_images(tmp_path / "a.npz")


def test_folders_without_images(tmp_path):
    with pytest.raises(data.DataError, match=r"no images found.*no sub-folders"):
        open_images(tmp_path)
    save_image(tmp_path / "loose.png", GREY[0])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("")
    with pytest.raises(data.DataError, match=r"no images found.*\.png.*found \['a'\]"):
        open_images(tmp_path)


def test_folder_arguments(tmp_path):
    save_image(tmp_path / "a/1.png", GREY[0])
    save_image(tmp_path / "b/1.png", GREY[1])
    with pytest.raises(ValueError, match="leave labels=None"):
        open_images(tmp_path, [0, 1])
    with pytest.raises(ValueError, match="at least 2"):
        open_images(tmp_path, num_classes=1)
    with pytest.raises(ValueError, match="'validation' has none of the 2"):
        open_images(tmp_path, split="validation")


def test_folder_with_two_validation_sets(tmp_path):
    for name in ("train", "val", "validation"):
        save_image(tmp_path / name / "a/1.png", GREY[0])
    with pytest.raises(data.DataError, match="both validation and val"):
        open_images(tmp_path)


def test_folder_with_an_empty_split(tmp_path):
    save_image(tmp_path / "train/a/1.png", GREY[0])
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match=r"'test' has none of the 1 images \(1 train, 0 validation, 0 test\)"):
        open_images(tmp_path, split="test")


@pytest.mark.parametrize("spoil", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"GIF, I say"])
@pytest.mark.parametrize("pixels", [COLOR[0], GREY[0], GREY[0].astype(np.uint16)], ids=["RGB", "L", "I;16"])
def test_a_damaged_image_is_named(tmp_path, spoil, pixels):
    for name in ("1.png", "2.png", "3.png"):
        save_image(tmp_path / "a" / name, np.kron(pixels, np.ones((20, 20, 1)[: pixels.ndim], pixels.dtype)))
    broken = tmp_path / "a" / "2.png"
    broken.write_bytes(spoil(broken.read_bytes()))
    with pytest.raises(data.DataError) as caught:
        open_images(tmp_path)
    assert str(broken) in str(caught.value)
    assert "repair or remove" in str(caught.value)
