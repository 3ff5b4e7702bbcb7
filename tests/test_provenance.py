"""Provenance: env keyword arguments as stored, and what those from a file ask for."""

import json
from pathlib import Path

import numpy as np
import pytest

from glimpse_gym.provenance import UntrustedError, describe_requests, package_versions, require_trust, storable_kwargs
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.version import __version__

IMAGES, MNIST, CATCH = "glimpse_gym/Images-v0", "glimpse_gym/MNIST-v0", "glimpse_gym/Catch-v0"


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """An empty folder of data sets."""
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def add_mnist(folder: Path, names=("train", "t10k")) -> None:
    """Write files with the names of those of MNIST; their content is verified when they are read."""
    (folder / "mnist").mkdir(parents=True)
    for name in names:
        (folder / "mnist" / f"{name}-images-idx3-ubyte").touch()
        (folder / "mnist" / f"{name}-labels-idx1-ubyte.gz").touch()


def test_package_versions():
    versions = package_versions("torch")
    assert list(versions) == ["python", "glimpse_gym", "gymnasium", "numpy", "torch"]
    assert versions["glimpse_gym"] == __version__
    assert versions["numpy"] == np.__version__


def test_paths_of_existing_images_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("images.npz", "mnist"):
        (tmp_path / name).touch()
    kwargs = {"images": "images.npz", "labels": Path("images.npz"), "patch_size": 4}
    expected = {"images": str(tmp_path / "images.npz"), "labels": str(tmp_path / "images.npz"), "patch_size": 4}
    assert storable_kwargs(kwargs) == expected
    assert json.loads(json.dumps(storable_kwargs(kwargs))) == expected
    for images in ("mnist", "missing.npz"):  # a data set comes before a file
        assert storable_kwargs({"images": images}) == {"images": images}
    with pytest.raises(ValueError, match=r"save arrays as an \.npz, and give its path as images"):
        storable_kwargs({"images": np.zeros((2, 8, 8), np.uint8)})


@pytest.mark.parametrize(
    ("env_id", "env_kwargs"),
    [
        (CATCH, {}),
        (CATCH, {"num_glimpses": 3, "patch_size": 5}),
        (CATCH, {"max_bytes": MAX_BYTES}),
        (IMAGES, {}),
        (IMAGES, {"images": [[[0, 1], [2, 3]]], "labels": [0]}),
        (IMAGES, {"images": None, "labels": 3}),
        ("glimpse_gym/Nothing-v0", {}),
    ],
    ids=str,
)
def test_kwargs_that_need_no_permission(env_id, env_kwargs):
    assert describe_requests(env_id, env_kwargs) == []
    require_trust("the agent", env_id, env_kwargs, trusted=False)


@pytest.mark.parametrize("env_id", [IMAGES, MNIST, CATCH, "glimpse_gym/Nothing-v0"])
def test_files_and_memory_need_permission_in_every_env(env_id, data_folder):
    add_mnist(data_folder)
    kwargs = {"images": "/data/photos", "labels": "labels.txt", "max_bytes": 10**12}
    requests = describe_requests(env_id, kwargs)
    assert requests == [
        "open the file or folder '/data/photos' (images)",
        "open the file or folder 'labels.txt' (labels)",
        "take up to 1,000,000,000,000 bytes of memory (max_bytes)",
    ]
    with pytest.raises(UntrustedError) as caught:
        require_trust("the agent in runs/a", env_id, kwargs, trusted=False)
    assert str(caught.value) == (
        f"the agent in runs/a asks to {' and to '.join(requests)}: permit it (--trust, or trusted=True) if you know "
        "where it comes from"
    )
    require_trust("the agent in runs/a", env_id, kwargs, trusted=True)


@pytest.mark.parametrize(("env_id", "env_kwargs"), [(MNIST, {}), (IMAGES, {"images": "mnist"})], ids=str)
def test_download_of_a_data_set_needs_permission_until_all_its_files_are_there(env_id, env_kwargs, data_folder):
    expected = ["download the data set mnist (55 MB; 'glimpse-gym data mnist' does)"]
    assert describe_requests(env_id, env_kwargs) == expected
    add_mnist(data_folder, names=["train"])
    assert describe_requests(env_id, env_kwargs) == expected
    (data_folder / "mnist").rename(data_folder / "other")
    add_mnist(data_folder)
    assert describe_requests(env_id, env_kwargs) == []


def test_labels_with_the_name_of_a_data_set_are_a_file(data_folder):
    add_mnist(data_folder)
    assert describe_requests(IMAGES, {"images": "mnist", "labels": "mnist"}) == [
        "open the file or folder 'mnist' (labels)"
    ]


@pytest.mark.parametrize("max_bytes", [MAX_BYTES + 1, 2**70])
def test_more_memory_than_the_default_needs_permission(max_bytes):
    (request,) = describe_requests(CATCH, {"max_bytes": max_bytes})
    assert request == f"take up to {max_bytes:,} bytes of memory (max_bytes)"


def test_long_or_strange_paths_are_shortened_and_escaped():
    (request,) = describe_requests(IMAGES, {"images": "\x1b[2J" + "x" * 10_000})
    assert request.isprintable()
    assert len(request) < 300
