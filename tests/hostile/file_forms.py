"""Forms of files that the program reads: how each is made, how it is read, and how it may be refused."""

import gzip
import io
import os
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

import tiny_data
from glimpse_gym.images import DataError
from glimpse_gym.images.data_files import read_verified
from glimpse_gym.images.pictures import decode_image
from glimpse_gym.images.readers import read_class_folders, read_idx, read_npz
from hostile.damage import damage_bytes, replace_path

_PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 7, 3), np.uint8)


class FileForm(ABC):
    """One form of a file. Each attempt gets a pristine copy in an empty folder, damages it, and reads it."""

    refusals: ClassVar[tuple[type[Exception], ...]] = (DataError,)
    """Documented errors of the reader."""
    has_checksum: ClassVar[bool] = False
    """Every single changed bit must be refused."""

    @abstractmethod
    def write(self, rng: np.random.Generator, folder: Path) -> Path:
        """Write a whole file into an empty folder, with all that belongs to it; returns its path."""

    @abstractmethod
    def read(self, path: Path) -> Any:
        """Read the file, and return its content."""

    def use(self, rng: np.random.Generator, content: Any, path: Path) -> None:  # noqa: B027 (some forms have no further use)
        """Do with the content of a damaged file that was read what the commands of the program do with it."""

    def damage(self, rng: np.random.Generator, path: Path) -> None:
        """Damage the file."""
        if rng.random() < 0.06:
            replace_path(rng, path)
        else:
            path.write_bytes(damage_bytes(rng, path.read_bytes()))


class Idx(FileForm):
    """IDX files, plain and gzip."""

    def write(self, rng, folder):
        content = tiny_data.idx(_PIXELS[..., 0])
        if rng.random() < 0.5:
            path = folder / "images-idx3-ubyte.gz"
            path.write_bytes(gzip.compress(content))
        else:
            path = folder / "images-idx3-ubyte"
            path.write_bytes(content)
        return path

    def read(self, path):
        assert read_idx(path).dtype == np.uint8


class Bomb(FileForm):
    """Small files that would become huge: gzip, npz and images of many zeros."""

    refusals = (DataError, ValueError)

    def write(self, rng, folder):
        size = int(rng.choice([10**3, 3 * 10**7, 10**9]))
        kind = int(rng.integers(3))
        if kind == 0:
            path = folder / "images.gz"
            path.write_bytes(_zeros_gz(size))
        elif kind == 1:
            path = folder / "images.npz"
            path.write_bytes(_zeros_npz(size))
        else:
            path = folder / "images.png"
            side = int(rng.choice([100, 20_000, 65_000]))
            path.write_bytes(_png_header(side))
        return path

    def read(self, path):
        {".gz": read_idx, ".npz": read_npz, ".png": decode_image}[path.suffix](_as_text(path))

    def damage(self, rng, path):
        if rng.random() < 0.3:
            super().damage(rng, path)


class Npz(FileForm):
    """Images and labels in an npz."""

    refusals = (DataError, ValueError, TypeError)

    def write(self, rng, folder):
        path, labels = folder / "images.npz", np.arange(12) % 3
        save = np.savez if rng.random() < 0.5 else np.savez_compressed
        if rng.random() < 0.6:
            save(path, images=_PIXELS[..., 0], labels=labels)
        else:
            save(path, x_train=_PIXELS[:8], y_train=labels[:8], x_test=_PIXELS[8:], y_test=labels[8:])
        return path

    def read(self, path):
        source = read_npz(str(path))
        assert source.pixels.dtype == np.uint8
        assert source.labels.min() >= 0

    def damage(self, rng, path):
        if rng.random() < 0.3:  # intact, but with other arrays
            arrays = dict(np.load(path))
            name = str(rng.choice(list(arrays)))
            arrays[name] = other_array(rng)
            np.savez(path, **arrays)
        else:
            super().damage(rng, path)


class Picture(FileForm):
    """Image files of all suffixes."""

    _formats = ("png", "jpg", "gif", "bmp", "webp", "tif")

    def write(self, rng, folder):
        suffix, mode = str(rng.choice(self._formats)), str(rng.choice(["L", "RGB", "P", "1", "RGBA", "LA", "I;16"]))
        path, options = folder / f"image.{suffix}", {}
        if suffix == "jpg":
            mode = "L" if mode in ("L", "1") else "RGB"
        if mode == "I;16":
            suffix = "png" if suffix not in ("png", "tif") else suffix
            path = folder / f"image.{suffix}"
            Image.fromarray(_PIXELS[0, ..., 0].astype(np.uint16) * 257).save(path)
            return path
        if suffix in ("bmp", "webp", "tif", "gif") and mode in ("LA", "1", "P", "RGBA"):
            mode = "RGB"
        if suffix == "tif":
            options["compression"] = str(rng.choice(["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"]))
        Image.fromarray(_PIXELS[int(rng.integers(12))]).convert(mode).save(path, **options)
        return path

    def read(self, path):
        array = decode_image(path)
        assert array.dtype == np.uint8
        assert array.ndim == 2 or array.shape[2] == 3


class ClassFolders(Picture):
    """Folders of classes, one image of which is damaged."""

    refusals = (DataError, ValueError)

    def write(self, rng, folder):
        prefixes = ["train", "test"] if rng.random() < 0.4 else ["."]
        for prefix in prefixes:
            for name in ("cat", "dog"):
                tiny_data.save_image(folder / prefix / name / "1.png", _PIXELS[0, ..., 0])
        (folder / "new").mkdir()
        new = super().write(rng, folder / "new")
        path = folder / prefixes[0] / "cat" / new.name
        new.rename(path)
        (folder / "new").rmdir()
        return path

    def damage(self, rng, path):
        if rng.random() < 0.2:  # an image that is intact, or a folder, with a strange name
            names = ("\udcff", "a\nb", " ", "-rf", "x" * 250, "\u202e", ".".join("abc"))
            path.rename(path.with_name(names[int(rng.integers(len(names)))] + path.suffix))
            (path.parent.parent / "\udcfe").mkdir()
            (path.parent / "folder.png").mkdir()
            (path.parent / "loop.png").symlink_to("loop.png")
        else:
            super().damage(rng, path)

    def read(self, path):
        root = path.parent.parent
        source = read_class_folders(root.parent if root.name == "train" else root)
        assert source.pixels.dtype == np.uint8


class DataSetFile(FileForm):
    """A file of a named data set, which has a checksum in the program."""

    has_checksum = True

    def write(self, rng, folder):
        tiny_data.place(folder, compressed=rng.random() < 0.3)
        return next(path for path in sorted(folder.iterdir()) if path.name.startswith(tiny_data.NAMES[0]))

    def read(self, path):
        file = tiny_data.tiny_set().files[0]
        assert read_verified(path.parent, file) == tiny_data.CONTENTS[file.name]


def _as_text(path: Path) -> str:
    return os.fspath(path)


def other_array(rng: np.random.Generator) -> np.ndarray:
    shapes = ((), (0,), (12,), (12, 1), (12, 9), (12, 9, 7), (12, 9, 7, 3), (12, 0, 7), (12, 9, 7, 5), (11, 2, 2))
    dtype = str(rng.choice(["u1", "i8", "u8", "f4", "?", "c8", "U2", "S2", "m8[s]", "M8[D]", "f2", "O"]))
    return np.zeros(shapes[int(rng.integers(len(shapes)))], dtype)


def _zeros_gz(size: int) -> bytes:
    head = gzip.compress(b"\0\0\x08\x01" + size.to_bytes(4, "big"))
    return head + gzip.compress(bytes(10**6)) * (size // 10**6) + gzip.compress(bytes(size % 10**6))


@cache
def _zeros_npz(size: int) -> bytes:
    buffer = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (size, 1, 1)})
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            file.write(header.getvalue())
            for _ in range(max(1, size // 10**6)):
                file.write(bytes(min(size, 10**6)))
        with archive.open("labels.npy", "w") as file:
            np.lib.format.write_array(file, np.zeros(1, np.int64))
    return buffer.getvalue()


def _png_header(side: int) -> bytes:
    """A gray PNG that promises ``side`` x ``side`` pixels, and holds few."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data
