"""Arrays, lists, torch tensors and PIL images as images; arrays as labels."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from glimpse_gym.images import open_images
from tiny_data import BY_INDEX, COLOR, GRAY, LABELS, assert_holds, save_image


@pytest.mark.parametrize("split", ["train", "validation", "test", "all"])
@pytest.mark.parametrize("images", [GRAY, COLOR], ids=["gray", "color"])
def test_arrays_are_split_by_index(images, split):
    image_set = open_images(images, LABELS, split=split)
    chosen = BY_INDEX[split]
    assert_holds(image_set, images[chosen], LABELS[chosen])
    assert image_set.num_channels == (1 if images.ndim == 3 else 3)
    assert image_set.class_names == ("0", "1", "2", "3")


def test_one_channel_is_gray():
    image_set = open_images(GRAY[..., np.newaxis], LABELS)
    assert_holds(image_set, GRAY, LABELS)
    assert image_set.num_channels == 1


def test_an_array_is_not_copied_and_stays_writable():
    images = GRAY.copy()
    image_set = open_images(images, LABELS, split="test")
    assert np.shares_memory(image_set.pixels, images)
    assert images.flags.writeable


def test_an_array_that_is_not_contiguous():
    images = COLOR.transpose(0, 2, 1, 3)[::2]
    assert_holds(open_images(images, LABELS[:10]), images, LABELS[:10])


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


def test_a_list_may_mix_the_two_forms_of_gray():
    image_set = open_images([GRAY[0], GRAY[1][..., np.newaxis]], [0, 1])
    assert_holds(image_set, GRAY[:2], [0, 1])


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64, list])
def test_label_kinds(kind):
    labels = LABELS.tolist() if kind is list else LABELS.astype(kind)
    assert_holds(open_images(GRAY, labels), GRAY, LABELS)


# --- torch tensors and PIL images


@pytest.mark.parametrize("images", [GRAY, COLOR], ids=["gray", "color"])
def test_torch_tensors(images):
    tensor = torch.from_numpy(images.copy())
    image_set = open_images(tensor, torch.from_numpy(LABELS))
    assert_holds(image_set, images, LABELS)
    assert np.shares_memory(image_set.pixels, tensor.numpy())
    assert_holds(open_images(list(tensor), LABELS, split="test"), images[[9, 19]], LABELS[[9, 19]])
    channels_last = torch.from_numpy(COLOR).permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert_holds(open_images(channels_last, LABELS), COLOR, LABELS)


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (torch.float32, "torch.float32; multiply by 255"),
        (torch.bfloat16, "torch.bfloat16; multiply"),
        (torch.int64, "torch.int64; convert to uint8"),
    ],
)
def test_torch_tensors_of_another_dtype(dtype, words):
    for images in (torch.zeros(20, 5, 6, dtype=dtype), [torch.zeros(5, 6, dtype=dtype)] * 20):
        with pytest.raises(TypeError, match=rf"must be uint8 0\.\.255, got {words}"):
            open_images(images, LABELS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool])
def test_torch_labels_must_be_integers(dtype):
    with pytest.raises(TypeError, match="labels must be integers >= 0"):
        open_images(GRAY, torch.zeros(20, dtype=dtype))


def test_pil_images():
    pictures = [Image.fromarray(image) for image in GRAY]
    assert_holds(open_images(pictures, LABELS), GRAY, LABELS)
    assert_holds(open_images([Image.fromarray(image) for image in COLOR], LABELS), COLOR, LABELS)


def test_pil_images_and_arrays_in_one_list():
    assert_holds(
        open_images([Image.fromarray(GRAY[0]), GRAY[1], torch.from_numpy(GRAY[2])], [0, 1, 2]), GRAY[:3], [0, 1, 2]
    )


def test_one_colored_pil_image_makes_all_rgb():
    image_set = open_images([Image.fromarray(GRAY[0]), Image.fromarray(COLOR[0])], [0, 1])
    assert_holds(image_set, [np.dstack([GRAY[0]] * 3), COLOR[0]], [0, 1])


def test_pil_images_of_other_modes():
    flat = np.full((4, 5, 3), 80, np.uint8)
    cmyk, floating = Image.fromarray(flat).convert("CMYK"), Image.fromarray(GRAY[0].astype(np.float32))
    assert_holds(open_images([cmyk], [0]), flat[np.newaxis], [0])
    with pytest.raises(
        ValueError, match=r"images\[0\] is not a readable PIL image: pixels are floating point; convert"
    ):
        open_images([floating], [0])


def test_damaged_pil_image(tmp_path):
    save_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-2000])
    with Image.open(tmp_path / "a.png") as picture, pytest.raises(ValueError, match=r"images\[0\] is not a readable"):
        open_images([picture], [0])


def test_one_pil_image_is_not_a_list():
    with pytest.raises(TypeError, match="a list of arrays, tensors or PIL images, got Image"):
        open_images(Image.fromarray(GRAY[0]), [0])


def test_images_are_opened_without_importing_torch_or_pil():
    code = (
        "import sys, numpy as np; from glimpse_gym.images import open_images; "
        "open_images(np.zeros((20, 5, 6), np.uint8), np.arange(20) % 2); "
        "open_images([np.zeros((5, 6), np.uint8)], [0]); "
        "print([name for name in ('torch', 'PIL', 'pooch', 'requests', 'tqdm') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


# --- bad arrays


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
        (
            [[[1, 2], [3, 4]]],
            [0],
            TypeError,
            r"images\[0\] must be a NumPy array, a torch tensor or a PIL image, got list",
        ),
        (None, None, TypeError, "got NoneType"),
        (7, [0], TypeError, "'mnist', 'fashion-mnist'.*a path.*PIL images, got int"),
        (GRAY, None, ValueError, "labels are missing: images needs 20"),
        (GRAY, LABELS[:-1], ValueError, r"shape \(20,\).*got \(19,\)"),
        (GRAY, LABELS.reshape(2, 10), ValueError, r"shape \(20,\).*got \(2, 10\)"),
        (GRAY, 3, ValueError, r"shape \(20,\).*got \(\)"),
        (GRAY, LABELS.astype(float), TypeError, "integers >= 0, got float64"),
        (GRAY, LABELS > 1, TypeError, "got bool"),
        (GRAY, list("abcdefghijklmnopqrst"), ValueError, "text is not accepted"),
        (GRAY, LABELS - 1, ValueError, r"0 \.\.\. 99999, got -1 \.\.\. 2"),
        (GRAY, LABELS * 10**6, ValueError, r"got 0 \.\.\. 3000000"),
        (GRAY, np.full(20, 2**64 - 1, np.uint64), ValueError, str(2**64 - 1)),
    ],
)
def test_bad_arrays(images, labels, error, words):
    with pytest.raises(error, match=words):
        open_images(images, labels)


CHANNELS_FIRST = one((60, 3, 32, 40))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (
            CHANNELS_FIRST,
            r"images must have .* at most 4 channels, got 40 .*\(60, 3, 32, 40\).* images.transpose\(0, 2, 3, 1\)",
        ),
        (
            list(CHANNELS_FIRST),
            r"images\[0\] must have .* 4 channels, got 40 .*\(3, 32, 40\).* image.transpose\(1, 2, 0\)",
        ),
        (torch.from_numpy(CHANNELS_FIRST), r"got 40 channels.* images.permute\(0, 2, 3, 1\)"),
        ([one((2, 2)), torch.from_numpy(CHANNELS_FIRST[0])], r"images\[1\].* image.permute\(1, 2, 0\)"),
        (one((60, 9, 9, 5)), "at most 4 channels, got 5"),
    ],
    ids=["array", "list", "tensor", "tensor in a list", "five"],
)
def test_more_than_four_channels(images, words):
    with pytest.raises(ValueError, match=words):
        open_images(images, np.zeros(len(images), int))


def test_transposed_as_the_error_says():
    labels = np.arange(60) % 2
    image_set = open_images(CHANNELS_FIRST.transpose(0, 2, 3, 1), labels)
    assert (image_set.num_channels, image_set.image(0).shape) == (3, (32, 40, 3))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_up_to_four_channels(channels):
    assert open_images(one((4, 9, 9, channels)), [0, 1, 0, 1]).num_channels == channels
