"""Files of recorded episodes: damaged, of other formats, and made by strangers."""

import dataclasses
import io
import json
import os
import re
import shutil
import tracemalloc
import zipfile

import numpy as np
import pytest

from glimpse_gym.play.episode_record import FORMAT, RecordError, load_record
from glimpse_gym.play.recording import load_recording, load_records, save_record
from recordings import ARRAYS, assert_same_record, catch_env, play, save_changed
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
        path = save_changed(tmp_path, catch_record, **{name: np.asarray(wrong)})
        with pytest.raises(RecordError, match=re.escape(f"{path} is damaged: ")):
            load_record(path)


@pytest.mark.parametrize("value", [np.nan, 1.5])
def test_locations_outside_the_image_are_damage(catch_record, tmp_path, value):
    locations = catch_record.locations.copy()
    locations[1, 0] = value
    path = save_changed(tmp_path, catch_record, locations=locations)
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
    replace_metadata(path, np.array(" " * 100_001))
    with pytest.raises(RecordError, match="metadata must have at most 100,000 characters"):
        load_record(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"choice_names": [1, 2, 3]},
        {"choice_names": [["a"], "b", "c"]},
        {"image_size": [24.0, 24.0]},
        {"image_size": [True, 24]},
        {"image_size": [24]},
        {"image_size": [0, 0]},
        {"image_size": [-24, -24]},
        {"player": "Ann\nBob"},
        {"player": "A" * 1001},
        {"started": "\x1b[31m"},
        {"env_id": "a\u2028b"},
        {"choice_name": "label\t"},
        {"choice_names": ["a", "\ud800", "c"]},
        {"versions": {"numpy": "2\n"}},
        {"versions": {"numpy\n": "2"}},
        {"versions": {"numpy": 2}},
        {"location_std": float("nan")},
        {"location_std": float("inf")},
        {"location_std": -0.1},
        {"location_std": 10**400},
        {"location_std": True},
        {"seed": -1},
        {"seed": True},
        {"seed": 2**64},
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
    path = save_changed(tmp_path, catch_record, **{name: array})
    with pytest.raises(RecordError, match=f"is damaged: {name} must be finite"):
        load_record(path)


@pytest.mark.parametrize("value", [-0.5, 1e30])
def test_probabilities_out_of_range_are_damage(catch_record, tmp_path, value):
    path = save_changed(tmp_path, catch_record, guess_probs=np.full((catch_record.num_steps, 3), value, np.float32))
    with pytest.raises(RecordError, match="is damaged: guess_probs must be from 0 to 1"):
        load_record(path)


def test_an_array_too_many(catch_record, tmp_path):
    path = save_record(tmp_path, catch_record)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("program.npy", b"x")
    with pytest.raises(RecordError, match=r"is damaged: it holds \['program'\]"):
        load_record(path)


def test_a_small_file_of_large_arrays(catch_record, tmp_path):
    path = save_changed(tmp_path, catch_record, images=np.zeros((20, 1000, 1000), np.uint8))
    assert path.stat().st_size < 100_000
    message = r"Bob\.npz: its content takes 20,\d{3},\d{3} bytes, and the limit is 4,000,000.*max_bytes"
    with limited_memory(1_000_000), pytest.raises(RecordError, match=message):
        load_record(path, max_bytes=10_000_000)
    with pytest.raises(RecordError, match="is damaged: images must be"):
        load_record(path)


@pytest.mark.parametrize("shape", [(6,), (6, 6, 6, 5), (6, 6, 6, 0), (6, 6, 6, 1, 1)], ids=str)
def test_images_of_another_number_of_dimensions_or_channels_are_damage(catch_record, tmp_path, shape):
    images = np.zeros((6, *shape[1:]), np.uint8)
    glimpses = np.zeros((6, 3 * int(np.prod(shape[3:])), 6, 6), np.float32)
    path = save_changed(tmp_path, catch_record, images=images, glimpses=glimpses)
    with pytest.raises(RecordError, match=r"is damaged: images must have the shape \(n, H, W\)"):
        load_record(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"player": "Ann\n"}, "player must be one line of at most 1,000 printable characters"),
        ({"seed": 2**64}, "seed must be an integer from 0 to 18446744073709551615"),
        ({"env_kwargs": {"images": "x" * 100_000}}, "metadata must have at most 100,000 characters"),
        ({"env_kwargs": {"images": b"x"}}, "not JSON serializable"),
        ({"rewards": np.zeros(3)}, "glimpses must be float32"),
        ({"success": None}, "success"),
    ],
    ids=lambda value: f"{value!s:.30}",
)
def test_episodes_that_could_not_be_read_again_are_not_recorded(catch_record, tmp_path, changes, message):
    with pytest.raises(RecordError, match=f"is not recorded, because it could not be read again: .*{message}"):
        save_record(tmp_path, dataclasses.replace(catch_record, **changes))
    assert not list(tmp_path.iterdir())


def test_the_longest_metadata_that_can_be_read_can_be_written_again(catch_record, tmp_path):
    path = save_record(tmp_path, catch_record)
    with np.load(path) as file:
        length = len(str(file["metadata"]))
    padding = "x" * (100_000 - length - len(json.dumps({"images": ""})[1:-1]) - 2)
    change_metadata(path, env_kwargs=catch_record.env_kwargs | {"images": padding})
    record = load_record(path)
    assert_same_record(load_record(save_record(tmp_path, record)), record)
    change_metadata(path, env_kwargs=catch_record.env_kwargs | {"images": padding + "x"})
    with pytest.raises(RecordError, match="metadata must have at most 100,000 characters"):
        load_record(path)


def test_metadata_that_would_be_longer_when_written_again_is_damage(catch_record, tmp_path):
    path = save_record(tmp_path, catch_record)
    with np.load(path) as file:
        text = str(file["metadata"])
    name = "\u00e9" * 50_000  # one character each in the file, six when it is written
    replace_metadata(path, np.array(text.replace('"num_glimpses": 5', f'"{name}": 1, "num_glimpses": 5', 1)))
    with pytest.raises(RecordError, match="is damaged: metadata must have at most 100,000 characters, got 300,"):
        load_record(path)


def test_long_metadata_count_for_the_limit_of_a_folder(catch_record, tmp_path):
    path = save_record(tmp_path, catch_record)
    change_metadata(path, env_kwargs={"a": "x" * 90_000})
    shutil.copy(path, tmp_path / "000002-Bob.npz")
    assert load_record(path).num_bytes > 50 * 90_000
    assert len(load_records(tmp_path, max_bytes=24_000_000)) == 2
    with pytest.raises(RecordError, match=r"up to 000002-Bob\.npz: its content takes more than 8,000,000 bytes"):
        load_records(tmp_path, max_bytes=20_000_000)


def test_each_file_gets_the_memory_that_is_left(catch_record, tmp_path):
    save_record(tmp_path, catch_record)
    images = np.zeros((20, 1000, 1000), np.uint8)
    save_changed(tmp_path, catch_record, images=images)
    # Enough for each file alone, but not for both.
    max_bytes = (images.nbytes + catch_record.num_bytes) * 5 // 2
    with (
        limited_memory(5_000_000),
        pytest.raises(RecordError, match=r"up to 000002-Bob\.npz: .* max_bytes=.*; move some files to another folder"),
    ):
        load_recording(tmp_path, max_bytes=max_bytes)


def test_damaged_files_keep_no_memory(catch_record, tmp_path):
    for _ in range(5):
        save_changed(tmp_path, catch_record, images=np.zeros((20, 1000, 1000), np.uint8))
    tracemalloc.start()
    try:
        damaged = load_recording(tmp_path).damaged
        assert tracemalloc.get_traced_memory()[0] < 5_000_000
    finally:
        tracemalloc.stop()
    assert len(damaged) == 5
    for error in damaged.values():
        assert error.__traceback__ is error.__cause__ is error.__context__ is None


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
