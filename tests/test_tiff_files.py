"""TIFF files: tiles, strips and mapped pages against the array that they were written from."""

import lzma
import zlib

import numpy as np
import pytest

from glimpse_gym import Retina
from glimpse_gym.images import DataError, build_pyramid_of, open_images, open_large, tiff_files
from glimpse_gym.images.pixel_files import MappedPixels

tifffile = pytest.importorskip("tifffile")

LAYOUTS = {
    "tiles": {"tile": (64, 48)},
    "deflated": {"tile": (64, 64), "compression": "zlib"},
    "predicted": {"tile": (64, 64), "compression": "zlib", "predictor": True},
    "strips": {"rowsperstrip": 32, "compression": "zlib"},
    "mapped": {},
    "lzma": {"tile": (64, 64), "compression": "lzma"},
}


def random_images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def random_locations(count):
    return np.random.default_rng(1).uniform(-1, 1, (count, 2)).astype(np.float32)


def write(path, images, **layout):
    photometric = "rgb" if images.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(path, images, photometric=photometric, **layout)
    return path


def offset_of_first_tile(path):
    with tifffile.TiffFile(path) as file:
        return file.pages[0].dataoffsets[0]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(150, 210), (150, 210, 3), (3, 150, 210), (2, 150, 210, 3)])
def test_glimpses_equal_those_of_the_array(tmp_path, layout, shape):
    images = random_images(*shape)
    large = open_large(write(tmp_path / "images.tif", images, **LAYOUTS[layout]))
    full = images.reshape(-1, 150, 210, 3 if shape[-1] == 3 else 1)
    assert (len(large), large.size, large.num_channels) == (len(full), (150, 210), full.shape[3])
    assert isinstance(large.pixels, MappedPixels) == (layout == "mapped")
    index, locations, retina = np.arange(30) % len(full), random_locations(30), Retina(4, 6)
    expected = retina.sense(full[index], locations)
    np.testing.assert_array_equal(retina.sense_large(large, locations, index), expected)
    assert retina.sense_large(large, locations[:0], index[:0]).shape == (0, 6 * full.shape[3], 4, 4)
    np.testing.assert_array_equal(large.image(0), images if len(full) == 1 else images[0])


def test_a_pyramid_and_the_cells_of_a_grid(tmp_path):
    canvas = random_images(1024, 1536)
    path = write(tmp_path / "canvas.tif", canvas, **LAYOUTS["deflated"])
    np.save(tmp_path / "canvas.npy", canvas)
    for file in (path, tmp_path / "canvas.npy"):
        build_pyramid_of(file)
    locations, index = random_locations(12), np.arange(12) % 6
    tiled, mapped = (
        Retina(4, 9).sense_large(open_large(file, 1, (2, 3)), locations, index)
        for file in (path, tmp_path / "canvas.npy")
    )
    np.testing.assert_array_equal(tiled, mapped)
    images = open_images(path, [[0, 1, 2], [2, 1, 0]])
    np.testing.assert_array_equal(images.image(4), canvas[512:, 512:1024])


def test_many_glimpses_are_computed_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("glimpse_gym.images.large._WINDOW_BYTES", 100)
    image = random_images(100, 100)
    large = open_large(write(tmp_path / "image.tif", image, tile=(32, 32)))
    locations, retina = random_locations(7), Retina(4, 3)
    expected = retina.sense(np.repeat(image[None], 7, axis=0), locations)
    np.testing.assert_array_equal(retina.sense_large(large, locations), expected)


def test_only_touched_tiles_are_decoded_and_a_bounded_number_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_files, "_CACHE_BYTES", 4 * 64 * 64)
    large = open_large(write(tmp_path / "image.tif", random_images(640, 640), tile=(64, 64)))
    decoded, decode = [], large.pixels._decode
    monkeypatch.setattr(large.pixels, "_decode", lambda *key: decoded.append(key) or decode(*key))
    center_of_a_tile = np.array([[0.1, 0.1]], np.float32)
    for _ in range(3):
        Retina(4, 3).sense_large(large, center_of_a_tile)
    assert decoded == [(0, 55)]
    Retina(4, 1).sense_large(large, random_locations(50))
    assert len(large.pixels._decoded) == 4


@pytest.mark.parametrize(
    ("images", "layout", "message"),
    [
        (np.zeros((100, 100), np.uint16), {}, "must hold uint8 with interleaved channels .* got axes YX, uint16"),
        (random_images(3, 100, 100), {"planarconfig": "separate", "photometric": "rgb"}, "got axes SYX, uint8"),
        (random_images(64, 64), {"tile": (64, 64), "compression": "zlib"}, "tile 0 cannot be decoded"),
    ],
)
def test_errors_of_files(tmp_path, images, layout, message):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, images, **layout)
    if "decoded" in message:
        offset = offset_of_first_tile(path)
        content = bytearray(path.read_bytes())
        content[offset : offset + 40] = bytes(40)
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        Retina(4).sense_large(open_large(path), np.zeros((1, 2), np.float32))


def test_a_file_without_its_last_tiles_is_an_error_when_it_is_opened(tmp_path):
    path = write(tmp_path / "image.tif", random_images(256, 256), tile=(64, 64), compression="zlib")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"is cut off: it lists tiles beyond its end, at .* bytes; copy it again"):
        open_large(path)


def test_pictures_are_made_in_bands_and_whole_images_are_limited(tmp_path, monkeypatch):
    image = random_images(2100, 1300)
    np.save(tmp_path / "image.npy", image)
    mapped = open_large(tmp_path / "image.npy")
    large = open_large(write(tmp_path / "image.tif", image, tile=(64, 64), compression="zlib"))
    heights, window = [], large.pixels.window
    monkeypatch.setattr(large.pixels, "window", lambda *key: heights.append(key[3]) or window(*key))
    np.testing.assert_array_equal(large.picture(0), mapped.picture(0))
    assert max(heights) == 4
    monkeypatch.setattr("glimpse_gym.images.large.MAX_BYTES", 2_000_000)
    with pytest.raises(ValueError, match=r"an image of 2,100 x 1,300 pixels of .*image.tif take"):
        large.image(0)
    assert mapped.image(0).shape == (2100, 1300)  # takes no memory


@pytest.mark.parametrize("library", [zlib, lzma])
def test_a_tile_that_unpacks_to_more_is_cut(tmp_path, library):
    """A small file must not fill the memory."""
    path = write(tmp_path / "image.tif", random_images(64, 64), tile=(64, 64), compression=library.__name__)
    bomb = library.compress(bytes(10**6))
    assert len(bomb) < 4000
    offset = offset_of_first_tile(path)
    content = bytearray(path.read_bytes())
    content[offset : offset + len(bomb)] = bomb
    path.write_bytes(content)
    large = open_large(path)
    assert (large.image(0) == 0).all()
    assert all(tile.base.nbytes == 64 * 64 for tile in large.pixels._decoded.values())


def test_a_tile_outside_the_file_and_large_strips_are_refused(tmp_path):
    path = write(tmp_path / "image.tif", random_images(64, 640), tile=(64, 64))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 64 * 64 * 2])
    with pytest.raises(DataError, match=r"image.tif: (is not a readable TIFF|is cut off)"):
        open_large(path).image(0)
    path = write(tmp_path / "strip.tif", np.zeros((6000, 6000), np.uint8), compression="zlib", rowsperstrip=6000)
    with pytest.raises(
        DataError, match="strips of 6000 x 6000 pixels take 36,000,000 bytes, more than 32,000,000; write"
    ):
        open_large(path)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\x08\0\0\0\xff\xff" + bytes(50), b"nothing of the kind"])
def test_what_is_no_tiff_is_refused(tmp_path, content):
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not a readable TIFF"):
        open_large(path)


def test_the_package_that_is_missing_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "image.tif", random_images(64, 64))
    monkeypatch.setattr("glimpse_gym.extras.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"tifffile is not installed: pip install 'glimpse_gym\[large\]'"):
        open_large(path)
