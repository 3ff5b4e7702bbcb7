"""The one evaluation, with agents whose errors are known beforehand."""

import gymnasium as gym
import numpy as np
import pytest

from glimpse_gym.agents.evaluation import Conditions, evaluate, play
from glimpse_gym.agents.scanpaths import table

ENV = "glimpse_gym/Images-v0"


@pytest.fixture
def env_kwargs():
    """Image i is all of brightness i, and its label is i % 3; of 70 images, 7 are for testing."""
    images = np.repeat(np.arange(70, dtype=np.uint8), 64).reshape(70, 8, 8)
    return {"images": images, "labels": np.arange(70) % 3, "patch_size": 1, "num_scales": 1, "num_glimpses": 3}


class Reader:
    """Reads brightness off the glimpse, and says what it is at the second glimpse, and never before."""

    def __init__(self):
        self.seeds = []
        self.looks = []

    def check_env(self, envs):
        pass

    def seed(self, seed):
        self.seeds.append(seed)

    def initial_state(self, num_envs):
        return np.zeros(num_envs, np.int64)

    def act(self, observation, state, sample=False):
        count = np.where(observation["time"][:, 0] == 0, 0, state) + 1
        brightness = np.rint(observation["glimpse"][:, 0, 0, 0] * 255).astype(np.int64)
        self.looks.append(observation["location"])
        label = np.where(count >= 2, brightness % 3, (brightness + 1) % 3)
        location = np.full((len(label), 2), 0.5 if sample else 0.25, np.float32)
        return {"label": label, "location": location}, count


def test_errors_after_each_glimpse(env_kwargs):
    score = evaluate(Reader(), ENV, env_kwargs, Conditions("test"))
    assert score.num_episodes == 7
    assert score.errors == [1.0, 0.0, 0.0]
    assert score.standard_errors == [0.0, 0.0, 0.0]


def test_standard_error_is_the_binomial_one(env_kwargs):
    class Fixed(Reader):
        def act(self, observation, state, sample=False):
            action, state = super().act(observation, state, sample)
            return action | {"label": np.zeros_like(action["label"])}, state

    score = evaluate(Fixed(), ENV, env_kwargs, Conditions("train"))
    right = sum(i % 3 == 0 for i in range(70) if i % 10 < 8) / 56
    assert score.errors == pytest.approx([1 - right] * 3)
    assert score.standard_errors == pytest.approx([np.sqrt(right * (1 - right) / 56)] * 3)


def play_and_watch(env_kwargs, see, num_envs=7, seed=0):
    """The batches of the test split, and what there was to see in the world in each episode."""
    batches, worlds, seen = [], [], []
    conditions = Conditions("test", seed=seed)
    for batch in play(Reader(), ENV, env_kwargs, conditions, num_envs=num_envs, watch=worlds.append):
        batches.append(batch)
        seen += [see(worlds[-1], row) for row in range(batch.wrong.shape[1])]
    assert len(worlds) == 3 * len(batches)  # before every step
    return batches, np.stack(seen)


@pytest.mark.parametrize("num_envs", [1, 3, 7, 20])
def test_every_image_once_in_file_order_whatever_the_batch(env_kwargs, num_envs):
    batches, indices = play_and_watch(env_kwargs, lambda world, row: world.image_index[row], num_envs)
    assert indices.tolist() == list(range(7))
    assert {batch.total for batch in batches} == {7}
    whole = next(play(Reader(), ENV, env_kwargs, Conditions("test"), num_envs=7))
    for name in ("wrong", "locations", "choices"):
        joined = np.concatenate([getattr(batch, name) for batch in batches], axis=1)
        np.testing.assert_array_equal(joined, getattr(whole, name))
    for name, values in whole.infos.items():
        np.testing.assert_array_equal(np.concatenate([batch.infos[name] for batch in batches]), values)
    assert whole.infos.keys() == {"label", "prediction", "correct"}


def test_the_same_seed_gives_the_same_canvases_and_another_does_not(env_kwargs):
    kwargs = env_kwargs | {"canvas_size": 20, "num_clutter": 2, "clutter_size": 4}

    def canvases(seed, num_envs=7):
        return play_and_watch(kwargs, lambda world, row: world.image(row).copy(), num_envs, seed)[1]

    np.testing.assert_array_equal(canvases(0), canvases(0, num_envs=2))
    assert (canvases(0) != canvases(1)).any(axis=(1, 2)).all()


def looks_under(env_kwargs, **conditions):
    agent = Reader()
    evaluate(agent, ENV, env_kwargs, Conditions("train", **conditions))
    return np.stack(agent.looks).reshape(-1, 3, 500, 2)[0, :, :56], agent


def test_who_chooses_the_locations(env_kwargs):
    learned, agent = looks_under(env_kwargs, seed=5)
    assert agent.seeds == [5]
    assert (learned[1:] == 0.25).all()
    assert len(np.unique(learned[0])) > 50
    sampled, _ = looks_under(env_kwargs, sample=True)
    assert (sampled[1:] == 0.5).all()
    center, _ = looks_under(env_kwargs, locations="center")
    assert (center == 0).all()
    random, _ = looks_under(env_kwargs, locations="random")
    assert len(np.unique(random)) == random.size
    assert abs(random.mean()) < 0.15
    assert random.min() < -0.9
    assert random.max() > 0.9


def test_only_so_many_images(env_kwargs):
    assert evaluate(Reader(), ENV, env_kwargs, Conditions("train"), num_episodes=5).num_episodes == 5
    assert evaluate(Reader(), ENV, env_kwargs, Conditions("train"), num_episodes=500).num_episodes == 56
    with pytest.raises(ValueError, match="num_episodes must be at least 1, got 0"):
        evaluate(Reader(), ENV, env_kwargs, Conditions("train"), num_episodes=0)


def test_conditions_that_do_not_exist(env_kwargs):
    with pytest.raises(ValueError, match="locations must be one of 'learned', 'random', 'center'"):
        Conditions(locations="everywhere")
    with pytest.raises(ValueError, match="split must be one of"):
        evaluate(Reader(), ENV, env_kwargs, Conditions("exam"))
    for seed in (-1, 2**30):
        with pytest.raises(ValueError, match=rf"seed must be from 0 to 2\*\*30 - 1, got {seed}"):
            Conditions(seed=seed)
    with pytest.raises(ValueError, match="CartPole-v1 is none of this package's envs"):
        evaluate(Reader(), "CartPole-v1", {}, Conditions("test"))


def test_the_table_says_it_in_per_cent(env_kwargs):
    scores = [evaluate(Reader(), ENV, env_kwargs, Conditions("test", sample=sample)) for sample in (False, True)]
    header, mean, sampled = table(scores).splitlines()
    assert header.split() == ["split,", "locations", "1", "2", "3", "±", "s.e."]
    assert mean.split() == ["test,", "learned,", "mean", "100.00", "0.00", "0.00", "±", "0.00"]
    assert sampled.startswith("test, learned, sampled ")


def test_an_evaluation_leaves_the_global_random_streams_alone(env_kwargs):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 (it is the old global stream that is meant)
    evaluate(Reader(), ENV, env_kwargs, Conditions("test", "random"))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_the_page_of_docs_is_up_to_date():
    from pathlib import Path

    from glimpse_gym.registration import document_envs

    page = Path(__file__).parent.parent / "docs" / "envs.md"
    assert page.read_text().rstrip() == document_envs().rstrip(), "run: glimpse-gym envs --docs > docs/envs.md"
    assert all(id in page.read_text() for id in gym.registry if id.startswith("glimpse_gym/"))
