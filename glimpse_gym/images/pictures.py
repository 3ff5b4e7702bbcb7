"""Pictures: PIL images and files of them, decoded to arrays within a limit on memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from glimpse_gym.content_limit import ContentLimitError, check_content, content_limit, how_to_lift
from glimpse_gym.images.data_files import DataError
from glimpse_gym.safe_io import MAX_BYTES, open_regular
from glimpse_gym.validation import shown

# Others are never tried, whatever the name of a file: one of them starts a program, Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_DECODING_BYTES = 20  # memory per pixel while a picture is decoded: 18 for WebP, up to 10 for the others
_FILE_CONTENT = 400  # content that a file counts for: its path and array take 1,000 bytes
_STRIP_PIXELS = 1 << 18
_MAX_SCANS = 100  # of a JPEG: usual ones have 1 to 12. A scan of 150 bytes can take as long as all pixels
_GRAY_MODES = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")
_EXIF_ORIENTATION, _TILE_WIDTH, _TILE_LENGTH = 0x0112, 322, 323


class PictureBudget:
    """Memory of all pictures of a source; each is counted before its pixels are decoded.

    Args:
        max_bytes: The most memory that they may take; see :func:`~glimpse_gym.content_limit.content_limit`.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._limit = content_limit(max_bytes)
        self._num_files = self._num_pixels = 0
        self._num_channels = 1  # 3 once there is a color picture, because gray ones are then converted

    def add_file(self, path: Path) -> None:
        """Count a file or folder; raise ContentLimitError if there are too many."""
        self._num_files += 1
        self._check_total(path)

    def add_picture(self, picture: Any, where: Any) -> None:
        """Count an opened picture; raise ContentLimitError if it is too large, or all pictures together are."""
        width, height = picture.size
        if picture.mode not in _GRAY_MODES:
            self._num_channels = 3
        needed = _DECODING_BYTES * max(width * height, _tile_pixels(picture)) + self._num_channels * self._num_pixels
        if needed > self.max_bytes:
            raise ContentLimitError(
                f"{where}: decoding {width} x {height} pixels takes up to {needed:,} bytes, and the limit is "
                f"max_bytes={self.max_bytes:,}; make the picture smaller, or {how_to_lift(needed)}"
            )
        self._num_pixels += width * height
        self._check_total(where)

    def _check_total(self, where: Any) -> None:
        content = self._num_channels * self._num_pixels + self._num_files * _FILE_CONTENT
        if content > self._limit:
            check_content(f"{where}, with all before it", content, self.max_bytes)


def _tile_pixels(picture: Any) -> int:
    """Pixels of a tile of a TIFF: it is decoded whole, and may be larger than the picture; 0 for other formats."""
    tags = picture.tag_v2 if getattr(picture, "format", None) == "TIFF" else {}
    width, height = (tags.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


def decode_image(path: Path, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Read the (first) image of a file: uint8 (H, W) if it is gray, otherwise (H, W, 3).

    Args:
        path: A PNG, JPEG, BMP, GIF, WebP or TIFF file.
        max_bytes: The most memory to take; see :func:`~glimpse_gym.content_limit.content_limit`.

    Raises:
        DataError: The file is not a readable image, or is too large.
    """
    return decode_file(path, PictureBudget(max_bytes))


def decode_file(path: Path, budget: PictureBudget) -> np.ndarray:
    """Read an image as in `decode_image`, and count it."""
    from PIL import Image

    try:
        # A stream: given a path, Pillow 11 maps an uncompressed TIFF into memory, and then rotates it wrongly.
        with open_regular(path) as stream:
            check_content(str(path), stream.seek(0, 2), budget.max_bytes)  # a decoder may read all of it at once
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the budget is the limit here
                picture = Image.open(stream, formats=_FORMATS)
            with picture:
                budget.add_picture(picture, path)
                return picture_to_array(picture)
    except ContentLimitError as error:
        raise DataError(str(error)) from error
    except Image.DecompressionBombError as error:
        hint = "make it smaller, or set PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        raise DataError(f"{path}: Pillow refuses so many pixels ({error}); {hint}") from error
    except Exception as error:  # Pillow's decoders raise many types
        raise DataError(f"{path}: not a readable image: {shown(error, 300)}; repair or remove it") from error


def picture_to_array(picture: Any) -> np.ndarray:
    """Convert a PIL image to uint8 (H, W) if it is gray, otherwise (H, W, 3).

    EXIF orientation is applied, transparent parts become white, and 16-bit pixels keep their upper eight bits.

    Raises:
        ValueError: The pixels are floating point, there are none, or decoding them would not end.
    """
    if picture.mode == "F":
        raise ValueError("pixels are floating point; convert the image to 8 bits per channel")
    if 0 in picture.size:
        raise ValueError(f"it has no pixels: its size is {picture.width} x {picture.height}")
    if picture.format in ("JPEG", "MPO") and picture.tile:  # no tiles: it is loaded already
        _check_scans(picture.fp)
    picture.load()  # a PNG may have its EXIF data at the end
    width, height = picture.size
    num_rows = max(1, _STRIP_PIXELS // width)
    if height <= num_rows:
        pixels = _convert(picture)
        is_gray = picture.mode == "P" and _is_gray(pixels)
    else:  # strip by strip, because a conversion takes several copies
        channels = () if picture.mode in _GRAY_MODES else (3,)
        pixels = np.empty((height, width, *channels), np.uint8)
        is_gray = picture.mode == "P"
        for top in range(0, height, num_rows):
            bottom = min(top + num_rows, height)
            pixels[top:bottom] = _convert(picture.crop((0, top, width, bottom)))
            is_gray = is_gray and _is_gray(pixels[top:bottom])
    if is_gray:  # a GIF always has a palette, also one of grays
        pixels = pixels[..., 0]
    return np.ascontiguousarray(_turn_upright(pixels, picture.getexif().get(_EXIF_ORIENTATION, 1)))


def _check_scans(stream: BinaryIO) -> None:
    """Raise ValueError if a JPEG has so many scans that decoding them would not end."""
    position = stream.tell()
    stream.seek(0)
    count = 0
    while count <= _MAX_SCANS and (piece := stream.read(1 << 20)):
        count += piece.count(b"\xff\xda")
    stream.seek(position)
    if count > _MAX_SCANS:
        raise ValueError(f"it has more than {_MAX_SCANS} scans; save the image again as usual")


def _is_gray(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _convert(picture: Any) -> np.ndarray:
    """Convert the pixels of a PIL image, not turned."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits per pixel; Pillow's own conversion would clip at 255
        return (np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8)
    mode = "L" if picture.mode in _GRAY_MODES else "RGB"
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture if picture.mode == mode else picture.convert(mode))


def _turn_upright(pixels: np.ndarray, orientation: Any) -> np.ndarray:
    """Return the view that an EXIF orientation from 1 to 8 stands for; others are ignored."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
