"""TIFF files that are read window by window: stored as one piece, in tiles or in strips, through tifffile."""

from __future__ import annotations

import lzma
import math
import os
import threading
import zlib
from collections import OrderedDict
from typing import Any

import numpy as np

from glimpse_gym.extras import require_extra
from glimpse_gym.images.data_files import DataError
from glimpse_gym.images.pixel_files import MappedPixels, PixelFile, WatchedFile, image_shape

_CACHE_BYTES = 128_000_000  # of decoded tiles, for each open file
_MAX_TILE_BYTES = _CACHE_BYTES // 4
_LZMA_BYTES = 2**28  # for its dictionary
_NOT_COMPRESSED, _DEFLATE, _LZMA = 1, (8, 32946), 34925
_NO_PREDICTOR, _HORIZONTAL = 1, 2


def open_tiff(watched: WatchedFile, num_images: int | None) -> PixelFile:
    """Open the images of a TIFF: the pages of its first series, at full resolution.

    Pixels that are stored as one piece are mapped into memory. Tiles and strips are decoded when a window touches
    them, and the last 128 MB of them are kept. Tiles that are not compressed, or with Deflate or LZMA, need no other
    package; other compressions need imagecodecs.

    Raises:
        DataError: the file is damaged, or not of uint8 with up to 4 interleaved channels and tiles up to 32 MB.
        ValueError: the number of images is another one.
        ModuleNotFoundError: tifffile is not installed.
    """
    require_extra("large")
    from tifffile import TiffFile

    path = watched.path
    try:
        series = TiffFile(watched.file, name=os.path.basename(path)).series[0]
        pages = list(series.pages)
        first, offset = series.keyframe, series.dataoffset
        page_shape = tuple(map(int, first.shape))
        count = math.prod(series.shape) // math.prod(page_shape)
        described = first.axes, str(first.dtype), int(first.planarconfig)
    except Exception as error:  # tifffile raises many types, depending on where the damage is
        raise DataError(f"{path}: is not a readable TIFF: {error!s:.300}") from error
    if described[0] not in ("YX", "YXS") or described[1] != "uint8" or described[2] != 1:
        found = f"axes {described[0]}, {described[1]}"
        raise DataError(f"{path}: must hold uint8 with interleaved channels (axes YX or YXS), got {found}; convert it")
    shape = image_shape((count, *page_shape, *[1] * (len(page_shape) == 2)), num_images, path)
    if offset is not None:
        return MappedPixels(watched, int(offset), shape)
    if len(pages) != count or None in pages:
        raise DataError(f"{path}: holds {len(pages)} pages for {count} images; write each image as a page")
    return TiledPixels(watched, shape, pages)


class TiledPixels(PixelFile):
    """Pixels that are stored in tiles, or in strips as wide as the image.

    Args:
        watched: the file.
        shape: (N, H, W, C).
        pages: the N pages, of tifffile.

    Raises:
        DataError: tiles are too large, or not as many as the size of the images asks for.
    """

    def __init__(self, watched: WatchedFile, shape: tuple[int, int, int, int], pages: list[Any]) -> None:
        super().__init__(watched, shape, None)
        _, height, width, channels = shape
        first = pages[0].keyframe
        self._page = first
        self._pages = [(page.dataoffsets, page.databytecounts) for page in pages]
        rows = int(first.tilelength) if first.is_tiled else min(int(first.rowsperstrip), height)
        columns = int(first.tilewidth) if first.is_tiled else width
        self._tile = rows, columns
        self._grid = -(-height // max(rows, 1)), -(-width // max(columns, 1))
        size = rows * columns * channels
        if not 0 < size <= _MAX_TILE_BYTES:
            kind = "tiles" if first.is_tiled else "strips"
            raise DataError(
                f"{self.path}: its {kind} of {rows} x {columns} pixels take {size:,} bytes, more than "
                f"{_MAX_TILE_BYTES:,}; write it in tiles, for example of 512 x 512 pixels"
            )
        if any(len(part) < math.prod(self._grid) for page in self._pages for part in page):
            raise DataError(f"{self.path}: is damaged: it lists fewer tiles than its images have")
        num_bytes = os.path.getsize(self.path)
        if any((np.array(page[0]) + np.array(page[1]) > num_bytes).any() for page in self._pages):
            raise DataError(
                f"{self.path}: is cut off: it lists tiles beyond its end, at {num_bytes:,} bytes; copy it again"
            )
        self._decoded: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._max_tiles = max(1, _CACHE_BYTES // size)
        self._lock = threading.Lock()

    def window(self, image: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        """See :meth:`PixelFile.window`; a new array, put together from tiles.

        Raises:
            DataError: a tile is damaged, or its compression needs a package that is not installed.
        """
        rows, columns = self._tile
        window = np.empty((height, width, self.shape[3]), np.uint8)
        for i in range(top // rows, -(-(top + height) // rows) if height else 0):
            y, y_stop = max(top, i * rows), min(top + height, (i + 1) * rows)
            for j in range(left // columns, -(-(left + width) // columns) if width else 0):
                x, x_stop = max(left, j * columns), min(left + width, (j + 1) * columns)
                tile = self._read_tile(image, i * self._grid[1] + j)
                part = tile[y - i * rows : y_stop - i * rows, x - j * columns : x_stop - j * columns]
                window[y - top : y_stop - top, x - left : x_stop - left] = part
        return window

    def _read_tile(self, image: int, number: int) -> np.ndarray:
        """Return a decoded tile, uint8 (rows, columns, C), of which the last ones of an image may be smaller."""
        key = image, number
        with self._lock:
            if key in self._decoded:
                self._decoded.move_to_end(key)
                return self._decoded[key]
        tile = self._decode(image, number)
        with self._lock:
            self._decoded[key] = tile
            while len(self._decoded) > self._max_tiles:
                self._decoded.popitem(last=False)
        return tile

    def _decode(self, image: int, number: int) -> np.ndarray:
        rows, columns = self._tile
        bottom = self.shape[1] - number // self._grid[1] * rows
        expected = rows if self._page.is_tiled else min(rows, bottom), columns, self.shape[3]
        offset, size = (part[number] for part in self._pages[image])
        if not size:  # a tile that was never written
            return np.zeros(expected, np.uint8)
        try:
            if size > 2 * math.prod(expected) + 65_536 or offset + size > self.watched.size:
                raise ValueError(f"it is listed with {size:,} bytes at {offset:,}")
            content = self.watched.read_at(offset, size)
            tile = self._decode_content(content, number, expected)
            valid = min(expected[0], bottom), min(columns, self.shape[2] - number % self._grid[1] * columns)
            if tile.ndim != 3 or tile.shape[0] < valid[0] or tile.shape[1] < valid[1] or tile.shape[2] != expected[2]:
                raise ValueError(f"it has shape {tile.shape}, expected {expected}")
            return tile
        except Exception as error:  # of tifffile and of the decoders behind it
            raise DataError(f"{self.path}: tile {number} cannot be decoded: {error!s:.300}") from error

    def _decode_content(self, content: bytes, number: int, expected: tuple[int, int, int]) -> np.ndarray:
        page = self._page
        compression = page.compression
        if page.predictor in (_NO_PREDICTOR, _HORIZONTAL) and compression in (_NOT_COMPRESSED, *_DEFLATE, _LZMA):
            if compression != _NOT_COMPRESSED:  # never more than a tile has, whatever the file says
                lzma_unpacker = lzma.LZMADecompressor(lzma.FORMAT_AUTO, _LZMA_BYTES)
                unpacker = lzma_unpacker if compression == _LZMA else zlib.decompressobj()
                content = unpacker.decompress(content, math.prod(expected))
            tile = np.frombuffer(content, np.uint8, math.prod(expected)).reshape(expected)
            return tile if page.predictor == _NO_PREDICTOR else np.cumsum(tile, axis=1, dtype=np.uint8)
        tile = page.decode(content, number, jpegtables=page.jpegtables)[0]
        return np.ascontiguousarray(tile[0], np.uint8)
