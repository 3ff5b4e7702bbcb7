"""Small images, files and servers for the tests of images."""

import contextlib
import gzip
import hashlib
import http.server
import threading
import time
import tracemalloc
from collections import Counter

import numpy as np
from PIL import Image

from glimpse_gym.images import datasets
from glimpse_gym.images.readers import parse_idx

RNG = np.random.default_rng(11)
GRAY = RNG.integers(0, 256, (20, 5, 6)).astype(np.uint8)
COLOR = RNG.integers(0, 256, (20, 5, 6, 3)).astype(np.uint8)
LABELS = np.arange(20) % 4
BY_INDEX = {
    "train": [*range(8), *range(10, 18)],
    "validation": [8, 18],
    "test": [9, 19],
    "all": list(range(20)),
}

# The files of a data set in the form of MNIST.
NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(array):
    """An independent writer of the IDX format."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def _tiny_contents():
    rng = np.random.default_rng(7)
    arrays = (
        rng.integers(0, 256, (15, 4, 5)),
        rng.integers(0, 10, 15),
        rng.integers(0, 256, (6, 4, 5)),
        rng.integers(0, 10, 6),
    )
    return {name: idx(array) for name, array in zip(NAMES, arrays, strict=True)}


CONTENTS = _tiny_contents()


def data_file(name, content, remote_name=""):
    return datasets.DataFile(name, len(content), hashlib.md5(content).hexdigest(), remote_name)


def read_tiny(read_file, split):
    names = NAMES[2:] if split == "test" else NAMES[:2]
    images, labels = (parse_idx(read_file(name), name) for name in names)
    return images, labels


def tiny_set(mirrors=(), npm_package=None):
    return datasets.DataSet(
        name="tiny",
        files=tuple(data_file(name, content, f"{name}.gz") for name, content in CONTENTS.items()),
        class_names=tuple("0123456789"),
        read=read_tiny,
        mirrors=tuple(mirrors),
        npm_package=npm_package,
        num_validation=5,
    )


def place(folder, names=NAMES, compressed=False):
    """Write files of the tiny data set."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(CONTENTS[name]) if compressed else CONTENTS[name])


def files_in(folder):
    """Names and contents of the files in a folder, without the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def refuse_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("subprocess.run", refuse)


def save_image(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)


@contextlib.contextmanager
def limited_memory(max_bytes):
    """The block never takes more memory, as far as Python and NumPy count it."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < max_bytes
    finally:
        tracemalloc.stop()


def assert_holds(image_set, images, labels):
    """The set holds exactly these images and labels, in arrays with the promised properties."""
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


class Mirror:
    """A local server of the files in `pages`, which counts the requests."""

    def __init__(self, delay=0.0):
        self.pages = {f"/{name}.gz": gzip.compress(content) for name, content in CONTENTS.items()}
        self.requests = Counter()
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.requests[self.path] += 1
                time.sleep(delay)
                if self.path not in mirror.pages:
                    return self.send_error(404)
                page = mirror.pages[self.path]
                promised, sent = page if isinstance(page, tuple) else (len(page), page)
                self.send_response(200)
                self.send_header("Content-Length", str(promised))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # a client that stopped reading
                    self.wfile.write(sent)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
