"""Reader of AttentionMNIST, with made-up files of the same form."""

import os

import numpy as np
import pytest

from attention_mnist_files import glimpse, make_trial, mnist_labels, random_trials, save
from glimpse_gym.images.datasets import load
from glimpse_gym.play.attention_mnist import image_index, load_attention_mnist, training_note
from glimpse_gym.retina import Retina
from glimpse_gym.safe_io import JSON_MEMORY
from tiny_data import limited_memory

FIVE = 1  # the first training image of MNIST is a 5


def load_one(folder, trial):
    (found,) = load_attention_mnist(save(folder, [trial]))
    return found


def test_a_trial(tmp_path):
    trial = load_one(tmp_path, make_trial(FIVE, glimpse(12, 14, 8), glimpse(8, 9, 7, 3.512), glimpse(0, 27, 5, 0.25)))
    assert trial.player == trial.task == "AttentionMNIST"
    assert (trial.label, trial.success, trial.image_index, trial.num_given) == (5, True, 0, 0)
    np.testing.assert_array_equal(trial.guesses, [8, 7, 5])
    np.testing.assert_array_equal(trial.seconds, [np.nan, 3.512, 0.25])
    expected = [((14 + 0.5) / 14 - 1, (12 + 0.5) / 14 - 1), ((9 + 0.5) / 14 - 1, (8 + 0.5) / 14 - 1)]
    np.testing.assert_allclose(trial.locations, [*expected, (27 / 28, -27 / 28)], atol=1e-7)
    assert len(trial.chosen) == 3  # the person chose the first click as well
    assert not trial.image_moves
    assert trial.guess_probs is None


def test_locations_are_the_centers_of_the_clicked_pixels(tmp_path):
    """A retina of one pixel sees the pixel in row x-coordinate and column y-coordinate."""
    pixels = [(row, column) for row in range(28) for column in range(28)]
    trial = load_one(tmp_path, make_trial(FIVE, *(glimpse(row, column, 5) for row, column in pixels)))
    seen = Retina(1).sense(np.repeat(trial.image[None], len(pixels), axis=0), trial.locations)
    np.testing.assert_array_equal((255 * seen[:, 0, 0, 0]).round().reshape(28, 28), trial.image)


@pytest.mark.parametrize(
    ("number", "split", "index"),
    [
        *((1, "train", 0), (17_308, "train", 17_307), (50_000, "train", 49_999), (50_001, "validation", 0)),
        *((60_000, "validation", 9_999), (60_001, "test", 0), (70_000, "test", 9_999)),
    ],
)
def test_stimuli_count_through_the_training_file_and_then_the_test_file(tmp_path, number, split, index):
    trial = load_one(tmp_path, make_trial(number, glimpse(0, 0, 1)))
    images, labels = load("mnist", split)
    np.testing.assert_array_equal(trial.image, images[index])
    assert trial.label == labels[index]


@pytest.mark.parametrize(("name", "index"), [("01_17308", 17307), ("01_00001", 0), ("a7_70", 69), ("12", 11)])
def test_image_index(name, index):
    assert image_index(name) == index


@pytest.mark.parametrize("name", ["", "01_", "01_0", "17308_b", "x"])
def test_image_index_refuses_other_names(name):
    with pytest.raises(ValueError, match="Stimuli must end in a number from 1"):
        image_index(name)


def test_many_trials_keep_their_order(tmp_path):
    entries = random_trials(30)
    trials = load_attention_mnist(save(tmp_path, entries))
    assert [trial.image_index + 1 for trial in trials] == [int(entry["Stimuli"][3:]) for entry in entries]
    assert all(trial.success for trial in trials)
    assert [len(trial.guesses) for trial in trials] == [len(entry["Data"]) for entry in entries]
    assert len({trial.picture for trial in trials}) == 4


def test_glimpses_are_ordered_by_their_numbers(tmp_path):
    trial = make_trial(FIVE, *(glimpse(0, 0, t % 10) for t in range(1, 13)))
    trial["Data"] = dict(sorted(trial["Data"].items()))  # Glimpse_1, Glimpse_10, Glimpse_11, Glimpse_12, Glimpse_2, ...
    np.testing.assert_array_equal(load_one(tmp_path, trial).guesses, [*range(1, 10), 0, 1, 2])


def test_training_note_counts_images(tmp_path):
    trials = load_attention_mnist(save(tmp_path, random_trials(30, stimuli=(1, 50_000, 50_001, 60_001, 70_000))))
    assert training_note(trials).startswith("2 of the 5 images")


# ---------------------------------------------------------------- damaged files


def without(entries, *names):
    return {name: value for name, value in entries.items() if name not in names}


GOOD = glimpse(1, 2, 5)
DAMAGES = {
    "not JSON": ("[{", "is not the mnist.json of AttentionMNIST, or is damaged"),
    "empty": ("", "is not the mnist.json of AttentionMNIST, or is damaged"),
    "no trials": ("[]", "must be a list of trials"),
    "another form": ('{"a": 1}', "must be a list of trials"),
}
BAD_TRIALS = {
    "not an object": ("x", "a trial must be an object"),
    "null": (None, "a trial must be an object"),
    "no stimulus": ({"Label": "5", "Data": {"Glimpse_1": GOOD}}, "'Stimuli' is missing"),
    "no data": ({"Stimuli": "01_1", "Label": "5"}, "stimulus '01_1': 'Data' is missing"),
    "stimulus beyond MNIST": ({"Stimuli": "01_70001", "Label": "5", "Data": {}}, "from 1 to 70000, got '01_70001'"),
    "stimulus a number": ({"Stimuli": 17, "Label": "5", "Data": {"Glimpse_1": GOOD}}, "stimulus 17"),
    "wrong label": ({"Stimuli": "01_1", "Label": "3", "Data": {"Glimpse_1": GOOD}}, "image 0 of MNIST is a 5"),
    "label of text": ({"Stimuli": "01_1", "Label": "five", "Data": {"Glimpse_1": GOOD}}, "Label must be an integer"),
    "no glimpses": ({"Stimuli": "01_1", "Label": "5", "Data": {}}, "got nothing"),
    "a gap": ({"Stimuli": "01_1", "Label": "5", "Data": {"Glimpse_1": GOOD, "Glimpse_3": GOOD}}, "without gaps"),
}
BAD_GLIMPSES = {
    "no row": (without(GOOD, "x-coordinate"), "'x-coordinate' is missing"),
    "no class": (without(GOOD, "Class"), "'Class' is missing"),
    "no duration": (without(GOOD, "Duration (seconds)"), "'Duration (seconds)' is missing"),
    "row outside": (glimpse(28, 2, 5), "x-coordinate must be an integer from 0 to 27 in quotes, got '28'"),
    "negative column": (glimpse(1, -1, 5), "y-coordinate must be"),
    "empty column": (glimpse(1, "", 5), "y-coordinate must be"),
    "half a pixel": (glimpse(1, 2.5, 5), "y-coordinate must be"),
    "not a number": (glimpse(1, "nan", 5), "y-coordinate must be"),
    "number without quotes": (GOOD | {"x-coordinate": 3}, "in quotes, got 3"),
    "class outside": (glimpse(1, 2, 10), "Class must be an integer from 0 to 9"),
    "negative duration": (glimpse(1, 2, 5, -0.1), "Duration (seconds) must be a number >= 0"),
    "duration of text": (glimpse(1, 2, 5, "soon"), "Duration (seconds) must be a number >= 0"),
    "endless duration": (glimpse(1, 2, 5, "inf"), "Duration (seconds) must be a number >= 0"),
    "glimpse of text": ("x", "Glimpse_2"),
    "glimpse null": (None, "Glimpse_2"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_file(tmp_path, name):
    content, message = DAMAGES[name]
    path = save(tmp_path, content)
    with pytest.raises(ValueError, match=message) as error:
        load_attention_mnist(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", BAD_TRIALS)
def test_damaged_trial_is_named(tmp_path, name):
    bad, message = BAD_TRIALS[name]
    path = save(tmp_path, [make_trial(FIVE, GOOD), bad, make_trial(FIVE, GOOD)])
    with pytest.raises(ValueError, match="damaged at trial 2 of 3") as error:
        load_attention_mnist(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("name", BAD_GLIMPSES)
def test_damaged_glimpse_is_named(tmp_path, name):
    bad, message = BAD_GLIMPSES[name]
    trial = make_trial(FIVE, GOOD)
    trial["Data"]["Glimpse_2"] = bad
    with pytest.raises(ValueError, match="damaged at trial 1 of 1, stimulus '01_1': Glimpse_2: ") as error:
        load_attention_mnist(save(tmp_path, [trial]))
    assert message in str(error.value)


def test_file_that_is_cut_off(tmp_path):
    path = save(tmp_path, random_trials(5))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="or is damaged"):
        load_attention_mnist(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_attention_mnist(tmp_path / "mnist.json")


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "mnist.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="or is damaged"):
        load_attention_mnist(path)


def test_labels_of_the_made_up_files():
    assert mnist_labels()[FIVE - 1] == 5


# ---------------------------------------------------------------- files from strangers


def test_a_file_that_is_too_large(tmp_path):
    path = save(tmp_path, [make_trial(FIVE, GOOD)])
    size = path.stat().st_size
    assert len(load_attention_mnist(path, max_bytes=JSON_MEMORY * size)) == 1
    with pytest.raises(ValueError, match=r"mnist\.json is larger than the limit of .* bytes, 1/55 of max_bytes="):
        load_attention_mnist(path, max_bytes=JSON_MEMORY * size - 1)
    with path.open("rb+") as file:
        file.truncate(70_000_000)
    with limited_memory(70_000_000), pytest.raises(ValueError, match="larger than the limit of 36,363,636 bytes"):
        load_attention_mnist(path)


@pytest.mark.parametrize("max_bytes", [0, 1.5, None])
def test_bad_max_bytes(tmp_path, max_bytes):
    with pytest.raises(ValueError, match="max_bytes must be an integer from 1"):
        load_attention_mnist(tmp_path / "mnist.json", max_bytes=max_bytes)


def test_brackets_without_end(tmp_path):
    for text in ("[" * 100_000, '[{"a":' * 100_000):
        with pytest.raises(ValueError, match="is damaged: its brackets are nested too deeply"):
            load_attention_mnist(save(tmp_path, text))


def test_names_of_glimpses_are_printable_in_errors(tmp_path):
    trial = {"Stimuli": "01_1", "Label": str(mnist_labels()[0]), "Data": {"\x1b[31mGlimpse_1\n": {}}}
    with pytest.raises(ValueError, match=r"got \[31mGlimpse_1$"):
        load_attention_mnist(save(tmp_path, [trial]))


def nested(depth):
    found = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "value", [nested(40), "1" * 1_000_000, 10**400, True, float("nan"), {}], ids=lambda v: f"{v!s:.9}"
)
@pytest.mark.parametrize("place", ["trial", "Stimuli", "Label", "Data", "Glimpse_1", "Class", "Duration (seconds)"])
def test_any_value_at_any_place_is_a_short_error(tmp_path, place, value):
    trial = make_trial(FIVE, GOOD)
    if place == "trial":
        trial = value
    elif place == "Glimpse_1":
        trial["Data"][place] = value
    else:
        (trial if place in trial else trial["Data"]["Glimpse_1"])[place] = value
    with pytest.raises(ValueError, match="damaged at trial 1 of 1") as error:
        load_attention_mnist(save(tmp_path, [trial]))
    assert len(str(error.value)) < 500


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "mnist.json")
    for path in (tmp_path / "mnist.json", "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            load_attention_mnist(path)
