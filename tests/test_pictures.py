"""Image files and PIL images: kinds of pixels, damaged files, and limits on what a small file can become."""

import io
import resource
import struct
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest
from PIL import Image

from glimpse_gym.images import DataError, open_images, pictures
from glimpse_gym.images.pictures import decode_image, picture_to_array
from tiny_data import COLOR, GRAY, assert_holds, limited_memory, save_image

# --- kinds of pixels


def test_jpeg(tmp_path):
    flat = np.full((8, 8, 3), (10, 200, 90), np.uint8)
    save_image(tmp_path / "a/1.JPG", flat)
    save_image(tmp_path / "a/2.jpeg", flat)
    image_set = open_images(tmp_path)
    assert len(image_set) == 2
    assert np.abs(image_set.image(0).astype(int) - flat).max() <= 3  # JPEG is lossy


def test_the_first_of_the_pictures_of_a_stereo_camera(tmp_path):
    flat = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (50, 200)]
    flat[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=flat[1:])
    np.testing.assert_allclose(decode_image(tmp_path / "a.jpg"), 50, atol=3)


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


def test_transparent_gray_stays_gray(tmp_path):
    save_image(tmp_path / "a/1.png", np.array([[(90, 255), (90, 0)]], np.uint8))
    with Image.open(tmp_path / "a/1.png") as image:
        assert image.mode == "LA"
    assert_holds(open_images(tmp_path), np.array([[[90, 255]]], np.uint8), [0])


def test_a_palette_of_grays_is_gray(tmp_path):
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


@pytest.mark.parametrize("name", ["1.webp", "2.tif", "3.TIFF"])
def test_webp_and_tiff(tmp_path, name):
    options = {"lossless": True} if "webp" in name else {}
    save_image(tmp_path / "a" / name, COLOR[0], **options)
    assert_holds(open_images(tmp_path), COLOR[:1], [0])


def test_sixteen_bit_tiff(tmp_path):
    deep = np.array([[0, 255, 256], [0x1234, 0x8000, 0xFFFF]], np.uint16)
    save_image(tmp_path / "a/1.tif", deep)
    assert_holds(open_images(tmp_path), [(deep // 256).astype(np.uint8)], [0])


def test_floating_point_tiff(tmp_path):
    save_image(tmp_path / "a/1.tif", GRAY[0].astype(np.float32))
    with pytest.raises(DataError, match=r"1\.tif: not a readable image.*floating point; convert"):
        open_images(tmp_path)


# For each EXIF orientation, the operation that turns the stored pixels upright.
UPRIGHT = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("stored", [GRAY[0], COLOR[0]], ids=["gray", "color"])
def test_exif_orientation(tmp_path, orientation, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = UPRIGHT[orientation](stored)
    for folder, suffix in (("png", "png"), ("tif", "tif")):
        save_image(tmp_path / folder / "a" / f"1.{suffix}", stored, exif=exif)
        assert_holds(open_images(tmp_path / folder), [upright], [0])
    with Image.open(tmp_path / "png/a/1.png") as picture:
        assert_holds(open_images([picture], [0]), [upright], [0])
    save_image(tmp_path / "jpg/a/1.jpg", stored, exif=exif)
    assert open_images(tmp_path / "jpg").image(0).shape == upright.shape


def test_damaged_exif_is_ignored(tmp_path):
    save_image(tmp_path / "a/1.jpg", GRAY[0], exif=b"Exif\0\0no such thing")
    assert open_images(tmp_path).image(0).shape == GRAY[0].shape


@pytest.mark.parametrize("spoil", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"GIF, I say"])
@pytest.mark.parametrize("pixels", [COLOR[0], GRAY[0], GRAY[0].astype(np.uint16)], ids=["RGB", "L", "I;16"])
def test_a_damaged_image_is_reported(tmp_path, spoil, pixels):
    for name in ("1.png", "2.png", "3.png"):
        save_image(tmp_path / "a" / name, np.kron(pixels, np.ones((20, 20, 1)[: pixels.ndim], pixels.dtype)))
    broken = tmp_path / "a" / "2.png"
    broken.write_bytes(spoil(broken.read_bytes()))
    with pytest.raises(DataError) as caught:
        open_images(tmp_path)
    assert str(broken) in str(caught.value)
    assert "repair or remove" in str(caught.value)


# --- large images


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_strips_of_a_large_image_are_converted_as_the_whole(monkeypatch, mode, orientation):
    if mode in ("I;16", "I"):
        picture = Image.fromarray(np.arange(60 * 50).reshape(60, 50).astype(np.uint16 if mode == "I;16" else np.int32))
    else:
        pixels = np.random.default_rng(0).integers(0, 256, (60, 50, 4), np.uint8)
        picture = Image.fromarray(pixels).convert(mode)
    picture.getexif()[0x0112] = orientation
    whole = picture_to_array(picture)
    monkeypatch.setattr(pictures, "_STRIP_PIXELS", 333)
    np.testing.assert_array_equal(picture_to_array(picture), whole)
    assert whole.shape[:2] == ((60, 50) if orientation == 1 else (50, 60))


def test_a_large_palette_of_grays_is_gray_only_if_all_strips_are(monkeypatch):
    monkeypatch.setattr(pictures, "_STRIP_PIXELS", 50)
    indices = np.zeros((60, 50), np.uint8)
    for value, ndim in ((1, 2), (2, 3)):
        indices[-1, -1] = value
        picture = Image.fromarray(indices)
        picture.putpalette([9, 9, 9, 200, 200, 200, 50, 60, 70])
        assert picture_to_array(picture).ndim == ndim


# --- files from strangers


def png_of_zeros(side):
    """An RGBA PNG, a thousandth of the size of its pixels."""
    num_bytes = side * (1 + 4 * side)
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes(num_bytes // 100)) + packer.flush(zlib.Z_FULL_FLUSH)  # may be repeated
    data = b"\x78\xda" + 100 * piece + packer.compress(bytes(num_bytes % 100)) + packer.flush()
    data += struct.pack(">HH", num_bytes % 65521, 1)  # checksum of zeros
    chunks = (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")
    packed = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff_of_one_tile(tile_side):
    """A TIFF of 6 x 5 gray pixels in one large tile, compressed by deflate."""
    data = zlib.compress(bytes(1000))
    tags = {256: 6, 257: 5, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile_side, 323: tile_side, 324: 8, 325: len(data)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(tags)) + table + bytes(4)


def test_a_small_file_of_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(1000))
    message = r"bomb\.png: decoding 1000 x 1000 pixels takes up to 20,000,000 bytes.*max_bytes"
    with limited_memory(1_000_000), pytest.raises(DataError, match=message):
        decode_image(path, max_bytes=19_999_999)
    assert decode_image(path, max_bytes=20_000_000).shape == (1000, 1000, 3)


def test_a_pil_image_of_many_pixels_is_refused_before_it_is_decoded():
    with Image.open(io.BytesIO(png_of_zeros(1000))) as picture:
        with pytest.raises(ValueError, match=r"images\[0\]: decoding 1000 x 1000 pixels.*max_bytes=20000000 or more"):
            open_images([picture], [0], max_bytes=10_000_000)
        assert picture.tile  # not decoded
        assert open_images([picture], [0], max_bytes=20_000_000).image(0).shape == (1000, 1000, 3)


def test_a_real_bomb_in_little_memory(tmp_path):
    """688 kB that become 177 million pixels, just below the number that Pillow itself refuses."""
    (tmp_path / "tree" / "a").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "bomb.png").write_bytes(png_of_zeros(13_300))
    code = """
        import sys, glimpse_gym
        glimpse_gym.__path__[:] = sys.argv[1].split(",")
        from glimpse_gym.images import DataError, open_images
        try:
            open_images(sys.argv[2])
        except DataError as error:
            print(error)
    """
    import glimpse_gym

    command = [sys.executable, "-c", textwrap.dedent(code), ",".join(glimpse_gym.__path__), tmp_path / "tree"]
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (600_000_000, 600_000_000))  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, env={"OPENBLAS_NUM_THREADS": "1"})
    assert done.stderr == ""
    assert "decoding 13300 x 13300 pixels takes up to 3,537,800,000 bytes" in done.stdout


def test_what_pillow_refuses_is_explained_and_its_warning_is_not_shown(tmp_path, monkeypatch):
    save_image(tmp_path / "a.png", GRAY[0])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), GRAY[0])  # 30 pixels: only a warning
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"a\.png: Pillow refuses so many pixels.*set PIL\.Image\.MAX_IMAGE_PIXELS"):
        decode_image(tmp_path / "a.png")


def test_a_tile_larger_than_its_tiff(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff_of_one_tile(20_000))
    with pytest.raises(DataError, match=r"a\.tif: decoding 6 x 5 pixels takes up to 8,000,000,000 bytes"):
        decode_image(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(tiff_of_one_tile(16))
    assert decode_image(tmp_path / "a.tif").shape == (5, 6)


def test_a_jpeg_of_endless_scans(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(COLOR[0]).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    last = content[content.rindex(b"\xff\xc4") : -2]  # a Huffman table and a scan
    path = tmp_path / "a.jpg"
    for number, is_refused in ((50, False), (200, True)):
        path.write_bytes(content[:-2] + number * last + content[-2:])
        if is_refused:
            with pytest.raises(DataError, match="more than 100 scans"):
                decode_image(path)
            with Image.open(path) as picture, pytest.raises(ValueError, match="more than 100 scans"):
                open_images([picture], [0])
        else:
            assert decode_image(path).shape == COLOR[0].shape


def test_a_large_file_of_few_pixels(tmp_path):
    save_image(tmp_path / "a.png", GRAY[0])
    with open(tmp_path / "a.png", "ab") as stream:
        stream.write(bytes(100_000))
    assert decode_image(tmp_path / "a.png", max_bytes=300_000).shape == (5, 6)
    with pytest.raises(DataError, match=r"takes 100,\d{3} bytes, and the limit is 40,000"):
        decode_image(tmp_path / "a.png", max_bytes=100_000)


@pytest.mark.parametrize("kind", ["EPS", "PPM", "ICO", "PCX", "TGA"])
def test_formats_that_are_never_decoded(tmp_path, kind):
    Image.fromarray(COLOR[0]).save(tmp_path / "a.png", kind)
    with pytest.raises(DataError, match=r"a\.png: not a readable image.*cannot identify"):
        decode_image(tmp_path / "a.png")


def test_damage_of_any_kind_is_a_data_error(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.png"
    refused = 0
    for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"):
        stream = io.BytesIO()
        Image.fromarray(COLOR[0]).save(stream, kind)
        for _ in range(30):
            content = bytearray(stream.getvalue())
            for position in rng.integers(0, min(len(content), 200), 3):
                content[position] = rng.integers(256)
            path.write_bytes(content)
            try:
                assert decode_image(path, max_bytes=10_000_000).dtype == np.uint8
            except DataError:
                refused += 1
    assert refused > 60
