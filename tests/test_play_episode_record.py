"""Files of recorded episodes: damaged, of other formats, and made by strangers."""

import dataclasses
import io
import json
import os
import re
import zipfile

import numpy as np
import pytest

from glimpse_gym.play.episode_record import FORMAT, RecordError, load_record
from glimpse_gym.play.recording import load_recording, load_records, save_record
from recordings import ARRAYS, catch_env, play
from tiny_data import limited_memory


@pytest.fixture(scope="module")
def catch_record():
    return play(catch_env(), player="Bob")


def change_metadata(path, **changes):
    """Rewrite a file with other metadata."""
    with np.load(path) as file:
        arrays = dict(file)
    metadata = json.loads(str(arrays.pop("metadata"))) | changes
    np.savez(path, metadata=np.array(json.dumps(metadata)), **arrays)


@pytest.mark.parametrize("length", [0, 1, 30, 1000, -1, -22, -30])
def test_a_truncated_file_is_damaged(catch_record, tmp_path, length):
    path = save_record(tmp_path, catch_record)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(RecordError, match="is damaged"):
        load_record(path)


def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path):
    for path in (tmp_path / "missing.npz", tmp_path):
        with pytest.raises(RecordError, match="cannot be read"):
            load_record(path)


def test_another_npz_is_no_episode(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros(3))
    with pytest.raises(RecordError, match="is not a recorded episode"):
        load_record(tmp_path / "a.npz")


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", metadata=np.array({"format": FORMAT}, dtype=object))
    with pytest.raises(RecordError, match="is not a recorded episode"):
        load_record(tmp_path / "a.npz")


def test_another_format_names_the_version_that_reads_it(catch_record, tmp_path):
    path = save_record(tmp_path, catch_record)
    change_metadata(path, format="glimpse_gym episode, format 2", versions={"glimpse_gym": "9.1"})
    with pytest.raises(RecordError, match=r"format 2'.*use the version that recorded it \(glimpse_gym 9\.1\)"):
        load_record(path)
    change_metadata(path, format=3, versions=None)
    with pytest.raises(RecordError, match="in the format 3"):
        load_record(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": "3"},
        {"player": None},
        {"env_kwargs": []},
        {"choice_names": "abc"},
        {"choice_names": ["a"] * 2, "label": 1.5},
        {"image_size": [3, 3]},
        {"label": 3},
        {"choice_names": ["a"]},
        {"num_glimpses": 0},
        {"num_glimpses": 1000},
        {"patch_size": 3},
        {"image_moves": False},
        {"num_scales": 2},
        {"num_scales": 0},
        {"location_std": "0.1"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_metadata_that_does_not_fit_is_damage(catch_record, tmp_path, changes):
    path = save_record(tmp_path, catch_record)
    change_metadata(path, **changes)
    with pytest.raises(RecordError, match=re.escape(f"{path} is damaged: ")):
        load_record(path)


@pytest.mark.parametrize("name", sorted(ARRAYS - {"guess_probs", "location_means"}))
def test_arrays_that_do_not_fit_are_damage(catch_record, tmp_path, name):
    array = getattr(catch_record, name)
    for wrong in (array.astype(np.int16), array[:-1], array[None], array.reshape(-1)[0]):
        path = save_record(tmp_path, dataclasses.replace(catch_record, **{name: np.asarray(wrong)}))
        with pytest.raises(RecordError, match=re.escape(f"{path} is damaged: ")):
            load_record(path)


@pytest.mark.parametrize("value", [np.nan, 1.5])
def test_locations_outside_the_image_are_damage(catch_record, tmp_path, value):
    locations = catch_record.locations.copy()
    locations[1, 0] = value
    path = save_record(tmp_path, dataclasses.replace(catch_record, locations=locations))
    with pytest.raises(RecordError, match="is damaged: locations must be from -1 to 1"):
        load_record(path)


def test_a_missing_array_is_named(catch_record, tmp_path):
    path = save_record(tmp_path, catch_record)
    kept = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(kept, "w") as target:
        for name in source.namelist():
            if name != "rewards.npy":
                target.writestr(name, source.read(name))
    path.write_bytes(kept.getvalue())
    with pytest.raises(RecordError, match="it lacks rewards"):
        load_record(path)


# ---------------------------------------------------------------- files from strangers


def replace_metadata(path, array):
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"metadata": array})


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array("[" * 100_000), "nested too deeply"),
        (np.array("[]"), "must be a JSON object"),
        (np.array("{}"), "'format'"),
        (np.array("{"), "Expecting"),
        (np.array(["{}"]), "must be text"),
        (np.zeros(3), "must be text"),
        (np.array(b"{}"), "must be text"),
    ],
    ids=["deep", "a list", "empty", "cut off", "an array", "numbers", "bytes"],
)
def test_metadata_that_is_none(catch_record, tmp_path, array, message):
    path = save_record(tmp_path, catch_record)
    replace_metadata(path, array)
    with pytest.raises(RecordError, match=f"is damaged, or is not a recorded episode .*{message}"):
        load_record(path)


def test_metadata_without_end(catch_record, tmp_path):
    path = save_record(tmp_path, catch_record)
    replace_metadata(path, np.array(" " * 16_000_001))
    with pytest.raises(RecordError, match="metadata must have at most 16,000,000 characters"):
        load_record(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"choice_names": [1, 2, 3]},
        {"choice_names": [["a"], "b", "c"]},
        {"image_size": [24.0, 24.0]},
        {"image_size": [True, 24]},
        {"image_size": [24]},
        {"versions": {"numpy": 2}},
        {"location_std": float("nan")},
        {"location_std": float("inf")},
        {"location_std": -0.1},
        {"location_std": 10**400},
        {"location_std": True},
        {"seed": -1},
        {"seed": True},
        {"image_index": -2},
        {"label": 10**400},
        {"num_scales": 10**18},
        {"patch_size": 10**18},
        {"num_scales": 12, "patch_size": 10**9},
        {"num_glimpses": 10**400},
    ],
    ids=lambda changes: f"{changes!s:.40}",
)
def test_metadata_of_the_wrong_kind_or_size_is_damage(catch_record, tmp_path, changes):
    path = save_record(tmp_path, catch_record)
    change_metadata(path, **changes)
    with limited_memory(2_000_000), pytest.raises(RecordError, match=re.escape(f"{path} is damaged: ")):
        load_record(path)


@pytest.mark.parametrize("name", ["glimpses", "times", "next_locations", "rewards", "guess_probs", "location_means"])
def test_arrays_that_are_not_finite_are_damage(catch_record, tmp_path, name):
    n = catch_record.num_steps
    made = {"guess_probs": np.zeros((n, 3), np.float32), "location_means": np.zeros((n, 2), np.float32)}
    array = made.get(name, getattr(catch_record, name)).copy()
    array.reshape(-1)[-1] = np.nan
    path = save_record(tmp_path, dataclasses.replace(catch_record, **{name: array}))
    with pytest.raises(RecordError, match=f"is damaged: {name} must be finite"):
        load_record(path)


def test_an_array_too_many(catch_record, tmp_path):
    path = save_record(tmp_path, catch_record)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("program.npy", b"x")
    with pytest.raises(RecordError, match=r"is damaged: it holds \['program'\]"):
        load_record(path)


def test_a_small_file_of_large_arrays(catch_record, tmp_path):
    large = dataclasses.replace(catch_record, images=np.zeros((20, 1000, 1000), np.uint8))
    path = save_record(tmp_path, large)
    assert path.stat().st_size < 100_000
    message = r"Bob\.npz: its content takes 20,\d{3},\d{3} bytes, and the limit is 4,000,000.*max_bytes"
    with limited_memory(1_000_000), pytest.raises(RecordError, match=message):
        load_record(path, max_bytes=10_000_000)
    with pytest.raises(RecordError, match="is damaged: images must be"):
        load_record(path)


def test_all_episodes_of_a_folder_count_together(catch_record, tmp_path):
    size = catch_record.num_bytes
    paths = [save_record(tmp_path, catch_record) for _ in range(5)]
    assert len(load_records(tmp_path, max_bytes=20 * size)) == 5
    with pytest.raises(RecordError, match=rf"up to {paths[4].name}: its content takes .*max_bytes"):
        load_recording(tmp_path, max_bytes=12 * size)


@pytest.mark.parametrize("max_bytes", [0, 1.5, None])
def test_bad_max_bytes(tmp_path, max_bytes):
    with pytest.raises(ValueError, match="max_bytes must be an integer from 1"):
        load_record(tmp_path / "a.npz", max_bytes=max_bytes)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["FIFO", "device"])
def test_what_is_not_a_regular_file_cannot_be_read(tmp_path, make):
    make(tmp_path / "000001-Bob.npz")
    with pytest.raises(RecordError, match=r"cannot be read: .* is not a regular file"):
        load_records(tmp_path)
