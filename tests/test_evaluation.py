"""Evaluation, with agents whose errors are known."""

import numpy as np
import pytest

from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.configs import ScriptedConfig
from glimpse_gym.agents.evaluation import (
    NUM_GAMES,
    EvalConditions,
    Score,
    evaluate,
    play_episodes,
    play_to_the_end,
)
from glimpse_gym.agents.scanpaths import format_scores
from glimpse_gym.agents.scripted import ScriptedPlayer
from runs import CATCH, IMAGES, make_envs


@pytest.fixture
def env_kwargs():
    """Every pixel of image i is i, and its label is i % 3; the test split has 7 of the 70 images."""
    images = np.repeat(np.arange(70, dtype=np.uint8), 64).reshape(70, 8, 8)
    return {"images": images, "labels": np.arange(70) % 3, "patch_size": 1, "num_scales": 1, "num_glimpses": 3}


class Reader:
    """Reads the label off the glimpse, and answers correctly from the second glimpse on."""

    def __init__(self):
        self.seeds = []
        self.locations = []

    def check_env(self, envs):
        pass

    def seed(self, seed):
        self.seeds.append(seed)

    def initial_state(self, num_envs):
        return np.zeros(num_envs, np.int64)

    def act(self, observation, state, sample=False):
        count = np.where(observation["time"][:, 0] == 0, 0, state) + 1
        brightness = np.rint(observation["glimpse"][:, 0, 0, 0] * 255).astype(np.int64)
        self.locations.append(observation["location"])
        label = np.where(count >= 2, brightness % 3, (brightness + 1) % 3)
        location = np.full((len(label), 2), 0.5 if sample else 0.25, np.float32)
        return {"label": label, "next_location": location}, count


def test_errors_after_each_glimpse(env_kwargs):
    score = evaluate(Reader(), IMAGES, env_kwargs, EvalConditions("test"))
    assert score.num_episodes == 7
    assert score.errors == [1.0, 0.0, 0.0]
    assert score.standard_errors == [0.0, 0.0, 0.0]


def test_standard_error_is_binomial(env_kwargs):
    class Fixed(Reader):
        def act(self, observation, state, sample=False):
            action, state = super().act(observation, state, sample)
            return action | {"label": np.zeros_like(action["label"])}, state

    score = evaluate(Fixed(), IMAGES, env_kwargs, EvalConditions("train"))
    right = sum(i % 3 == 0 for i in range(70) if i % 10 < 8) / 56
    assert score.errors == pytest.approx([1 - right] * 3)
    assert score.standard_errors == pytest.approx([np.sqrt(right * (1 - right) / 56)] * 3)


def play_and_record(env_kwargs, record, num_envs=7, seed=0):
    """Batches of the test split, and what ``record`` finds in the world in each episode."""
    batches, envs_of_steps, recorded = [], [], []
    conditions = EvalConditions("test", seed=seed)

    def on_step(envs, observation):  # before every step
        assert observation["time"].shape == (num_envs, 1)
        envs_of_steps.append(envs)

    for batch in play_episodes(Reader(), IMAGES, env_kwargs, conditions, num_envs=num_envs, on_step=on_step):
        batches.append(batch)
        world = envs_of_steps[-1].unwrapped.world
        recorded += [record(world, row) for row in range(batch.incorrect.shape[1])]
    assert len(envs_of_steps) == 3 * len(batches)
    return batches, np.stack(recorded)


@pytest.mark.parametrize("num_envs", [1, 3, 7, 20])
def test_every_image_is_played_once_in_file_order_for_any_number_of_envs(env_kwargs, num_envs):
    batches, indices = play_and_record(env_kwargs, lambda world, row: world.image_index[row], num_envs)
    assert indices.tolist() == list(range(7))
    assert {batch.total for batch in batches} == {7}
    whole = next(play_episodes(Reader(), IMAGES, env_kwargs, EvalConditions("test"), num_envs=7))
    for name in ("incorrect", "locations", "choices"):
        joined = np.concatenate([getattr(batch, name) for batch in batches], axis=1)
        np.testing.assert_array_equal(joined, getattr(whole, name))
    for name, values in whole.infos.items():
        np.testing.assert_array_equal(np.concatenate([batch.infos[name] for batch in batches]), values)
    assert whole.infos.keys() == {"image_index", "label", "prediction", "correct", "success"}


def test_same_seed_gives_the_same_canvases_and_another_seed_does_not(env_kwargs):
    kwargs = env_kwargs | {"canvas_size": 20, "num_clutter": 2, "clutter_size": 4}

    def canvases(seed, num_envs=7):
        return play_and_record(kwargs, lambda world, row: world.image(row).copy(), num_envs, seed)[1]

    np.testing.assert_array_equal(canvases(0), canvases(0, num_envs=2))
    assert (canvases(0) != canvases(1)).any(axis=(1, 2)).all()


def locations_under(env_kwargs, **conditions):
    """Locations of all glimpses, (T, 56, 2), and the agent."""
    agent = Reader()
    evaluate(agent, IMAGES, env_kwargs, EvalConditions("train", **conditions))
    return np.stack(agent.locations).reshape(-1, 3, 500, 2)[0, :, :56], agent


def test_locations_learned_random_and_center(env_kwargs):
    learned, agent = locations_under(env_kwargs, seed=5)
    assert agent.seeds == [5]
    assert (learned[1:] == 0.25).all()
    assert len(np.unique(learned[0])) > 50
    sampled, _ = locations_under(env_kwargs, sample=True)
    assert (sampled[1:] == 0.5).all()
    center, _ = locations_under(env_kwargs, locations="center")
    assert (center == 0).all()
    random, _ = locations_under(env_kwargs, locations="random")
    assert len(np.unique(random)) == random.size
    assert abs(random.mean()) < 0.15
    assert random.min() < -0.9
    assert random.max() > 0.9


def test_num_episodes_limits_the_number_of_images(env_kwargs):
    assert evaluate(Reader(), IMAGES, env_kwargs, EvalConditions("train"), num_episodes=5).num_episodes == 5
    assert evaluate(Reader(), IMAGES, env_kwargs, EvalConditions("train"), num_episodes=500).num_episodes == 56
    with pytest.raises(ValueError, match="num_episodes must be at least 1, got 0"):
        evaluate(Reader(), IMAGES, env_kwargs, EvalConditions("train"), num_episodes=0)


def test_unknown_conditions_and_envs_are_refused(env_kwargs):
    with pytest.raises(ValueError, match="locations must be one of 'learned', 'random', 'center'"):
        EvalConditions(locations="everywhere")
    with pytest.raises(ValueError, match="split must be one of"):
        evaluate(Reader(), IMAGES, env_kwargs, EvalConditions("exam"))
    for seed in (-1, 2**30):
        with pytest.raises(ValueError, match=rf"seed must be from 0 to 2\*\*30 - 1, got {seed}"):
            EvalConditions(seed=seed)
    with pytest.raises(ValueError, match=r"num_glimpses=200000: the steps of 500 episodes take 3,400,000,000 bytes"):
        evaluate(Reader(), IMAGES, env_kwargs | {"num_glimpses": 200_000}, EvalConditions("test"))
    with pytest.raises(ValueError, match="CartPole-v1 is not a glimpse_gym env"):
        evaluate(Reader(), "CartPole-v1", {}, EvalConditions("test"))


def test_format_scores_is_a_table_in_per_cent(env_kwargs):
    scores = [evaluate(Reader(), IMAGES, env_kwargs, EvalConditions("test", sample=sample)) for sample in (False, True)]
    header, mean, sampled = format_scores(scores).splitlines()
    assert header.split() == ["split,", "locations", "1", "2", "3", "±", "s.e."]
    assert mean.split() == ["test,", "learned,", "mean", "100.00", "0.00", "0.00", "±", "0.00"]
    assert sampled.startswith("test, learned, sampled ")


def test_global_random_streams_are_left_alone(env_kwargs):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 (the legacy global stream)
    evaluate(Reader(), IMAGES, env_kwargs, EvalConditions("test", "random"))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


# ------------------------------------------------------------------------------------------- without images


def make_random_player():
    return ScriptedPlayer(TaskSpec.from_env(make_envs(CATCH, 1)), ScriptedConfig("random"))


def test_catch_has_one_error_the_fraction_of_balls_missed():
    kwargs = {"num_glimpses": 5}
    score = evaluate(make_random_player(), CATCH, kwargs, EvalConditions("test"), num_episodes=700)
    (batch, last) = play_episodes(make_random_player(), CATCH, kwargs, EvalConditions("test"), num_episodes=700)
    assert batch.incorrect.shape == (1, 500)
    assert batch.locations.shape == (5, 500, 2)
    assert batch.choices.shape == (5, 500)
    assert last.infos.keys() == {"caught", "success"}
    caught = np.concatenate([batch.infos["caught"], last.infos["caught"]])
    assert len(caught) == score.num_episodes == batch.total == 700
    assert score.errors == [pytest.approx(1 - caught.mean())]


def test_splits_of_catch_are_disjoint_ranges_of_seeds(monkeypatch):
    from glimpse_gym.vector import GlimpseVectorEnv

    seeds, reset = {}, GlimpseVectorEnv.reset

    def record(envs, *, seed=None, options=None):
        seeds[key] = seed
        return reset(envs, seed=seed, options=options)

    monkeypatch.setattr(GlimpseVectorEnv, "reset", record)
    for key in (("train", 0), ("validation", 0), ("validation", 2**30 - 1), ("test", 0), ("test", 2**30 - 1)):
        split, seed = key
        evaluate(make_random_player(), CATCH, {}, EvalConditions(split, seed=seed), num_episodes=5)
    # Training episodes have seeds below 2**63.
    assert seeds[("train", 0)][0] == 0
    assert 2**63 <= seeds[("validation", 0)][0] < seeds[("validation", 2**30 - 1)][-1] + NUM_GAMES
    assert seeds[("validation", 2**30 - 1)][-1] + NUM_GAMES < seeds[("test", 0)][0]
    assert seeds[("test", 2**30 - 1)][-1] + NUM_GAMES < 2**64


def test_score_names_its_conditions(env_kwargs):
    score = evaluate(Reader(), IMAGES, env_kwargs, EvalConditions("validation", "random", True, 7), num_episodes=2)
    assert score == Score("validation", "random", True, 7, 2, score.errors, score.standard_errors)


# ---------------------------------------------------------------- whole episodes in any action form


class Answerer(Reader):
    """Reads the label off the first glimpse; answers after a number of glimpses that depends on the image.

    Image i is answered after ``i % 4`` more glimpses; with 3 glimpses, ``i % 4 == 3`` looks to the end.
    """

    def act(self, observation, state, sample=False):
        count = np.where(observation["time"][:, 0] == 0, 0, state) + 1
        index = np.rint(observation["glimpse"][:, 0, 0, 0] * 255).astype(np.int64)
        label = np.where(index % 5 == 0, (index + 1) % 3, index % 3)  # wrong for every fifth image
        return np.where(count > index % 4, 25 + label, 12), count


@pytest.mark.parametrize("num_envs", [3, 7, 56, 60])
def test_outcomes_of_episodes_that_end_early(env_kwargs, num_envs):
    kwargs = env_kwargs | {"actions": "discrete", "glimpse_cost": 0.25, "first_glimpse": "center"}
    outcomes = play_to_the_end(Answerer(), IMAGES, kwargs, EvalConditions("train"), num_envs=num_envs)
    index = np.array([i for i in range(70) if i % 10 < 8])
    success = (index % 4 < 3) & (index % 5 != 0)
    num_glimpses = np.minimum(index % 4 + 1, 3)
    np.testing.assert_array_equal(outcomes.success, success)
    np.testing.assert_array_equal(outcomes.num_glimpses, num_glimpses)
    np.testing.assert_array_equal(outcomes.episode_return, success - 0.25 * (num_glimpses - 1))


def test_outcomes_agree_with_errors_in_the_hybrid_form(env_kwargs):
    outcomes = play_to_the_end(Reader(), IMAGES, env_kwargs, EvalConditions("test"))
    assert outcomes.success.tolist() == [True] * 7
    assert outcomes.num_glimpses.tolist() == [3] * 7
    player, conditions = make_random_player(), EvalConditions("test", seed=3)
    score = evaluate(player, CATCH, {}, conditions, num_episodes=700)
    games = play_to_the_end(player, CATCH, {}, conditions, num_episodes=700)
    assert games.success.mean() == pytest.approx(1 - score.errors[-1])
    assert (games.episode_return == games.success).all()


def test_outcomes_refuse_other_locations(env_kwargs):
    with pytest.raises(ValueError, match="locations must be 'learned' here, got 'random'"):
        play_to_the_end(Reader(), IMAGES, env_kwargs, EvalConditions("test", locations="random"))
