"""Tables of searches."""

import dataclasses

from glimpse_gym.agents.experiments.search_files import Outcome
from glimpse_gym.agents.experiments.search_tables import (
    describe_outcome,
    describe_values,
    search_caption,
    search_table,
)
from small_searches import make_search_result
from test_tables import rows_of


def test_table_is_sorted_by_validation_error_and_trials_that_diverged_come_last():
    search = make_search_result()
    reversed_trials = dataclasses.replace(search, trials=search.trials[::-1])
    # The standard error of a fraction of 0.1 over 10,000 images is 0.003.
    for table in (search_table(search), search_table(reversed_trials)):
        assert rows_of(table) == [
            ["1", "0.001", "0.21", "1", "true", "10.00 ± 0.30", "30.00"],
            ["0", "0.012", "0.1", "4", "false", "20.00 ± 0.40", "25.00"],
            ["2", "0.1", "0.05", "1", "true", "diverged", "diverged"],
        ]
        assert table.splitlines()[0] == (
            "| trial | learning_rate | sigma | copies_per_image | detach_location_network | validation error ± s.e. "
            "| training error |"
        )


def test_caption_has_the_recipe_the_trials_and_the_ranges():
    search = make_search_result()
    assert search_caption(search) == (
        "Random search for the settings of `paper-mine`: 3 trials of 600,000 episodes each, with the error on 10,000 "
        "validation images; learning_rate log-uniform from 0.001 to 0.1, sigma uniform from 0.05 to 0.3, "
        "copies_per_image one of 1, 2, 4, detach_location_network one of true, false."
    )
    assert "1 trial of 600,000 episodes, with" in search_caption(dataclasses.replace(search, trials=search.trials[:1]))


def test_trials_are_described_in_one_line():
    assert describe_values(make_search_result().trials[0].values) == (
        "learning_rate = 0.012, sigma = 0.1, copies_per_image = 4, detach_location_network = false"
    )
    assert describe_outcome(Outcome(0.12345, 0.2, 600_064, 61.5)) == "validation error 12.35%, 62 s"
    assert describe_outcome(Outcome(None, None, 2_560, 1.25)) == "diverged after 2,560 episodes, 1 s"
