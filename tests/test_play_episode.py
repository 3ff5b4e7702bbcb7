"""Episodes that people and agents play: the same for all players, recorded, and replayed bit for bit."""

import dataclasses
import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

from glimpse_gym.agents.checkpoint import CheckpointError, load_agent
from glimpse_gym.agents.pretrained import agent_folder
from glimpse_gym.play import episode as episode_module
from glimpse_gym.play.agent_player import AgentPlayer
from glimpse_gym.play.episode import Episode, PlayEnv
from glimpse_gym.play.recording import load_record, save_record
from glimpse_gym.play.replay import verify_record
from recordings import assert_same_record, catch_env, images_env, play
from runs import CATCH, IMAGES, noise_file, noise_images
from test_imports import loaded_after

CATCH_AGENT = "ram-catch"


@pytest.fixture(scope="module")
def catch_agent():
    return AgentPlayer(CATCH_AGENT)


# ---------------------------------------------------------------- envs


def test_keyword_arguments_are_complete_and_storable(tmp_path):
    env = images_env(tmp_path)
    assert env.env_kwargs["split"] == "all"
    assert env.env_kwargs["images"] == str(tmp_path / "images.npz")
    assert env.choice_name == "label"
    assert env.choice_names == ("0", "1", "2")
    assert (env.retina.patch_size, env.retina.num_scales) == (4, 1)
    env.close()


def test_paths_of_images_become_absolute(tmp_path, monkeypatch):
    noise_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert PlayEnv(IMAGES, {"images": "images.npz"}).env_kwargs["images"] == str(tmp_path / "images.npz")


def test_arrays_must_be_saved_first():
    with pytest.raises(ValueError, match=r"stored as JSON .*: save arrays as an \.npz, and give its path as images"):
        PlayEnv(IMAGES, noise_images())


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("glimpse_gym/CatchDiscrete-v0", {}),
        ("glimpse_gym/CatchContinuous-v0", {}),
        (CATCH, {"actions": "multidiscrete"}),
        (CATCH, {"observations": "flat"}),
    ],
)
def test_other_actions_and_observations_are_refused(env_id, kwargs):
    with pytest.raises(ValueError, match="without 'Discrete' or 'Continuous', actions='hybrid' and observ"):
        PlayEnv(env_id, kwargs)


@pytest.mark.parametrize(
    ("env_id", "kwargs", "error", "message"),
    [
        ("glimpse_gym/Cach-v0", {}, gym.error.Error, "Catch"),
        ("CartPole-v1", {}, ValueError, "not a glimpse_gym env"),
        (CATCH, {"num_envs": 3}, ValueError, r"\['num_envs'\] cannot be given"),
        (CATCH, {"frameskip": 3}, TypeError, "unexpected keyword argument"),
    ],
)
def test_envs_that_cannot_be_played(env_id, kwargs, error, message):
    with pytest.raises(error, match=message):
        PlayEnv(env_id, kwargs)


def test_no_torch_is_needed_to_play_record_and_replay():
    code = """
import tempfile
from glimpse_gym.play import agent_player, episode, export, recording, replay
game = episode.Episode(episode.PlayEnv("glimpse_gym/Catch-v0"), 0)
while not game.over:
    game.step((0.0, 0.5), 1)
path = recording.save_record(tempfile.mkdtemp(), game.record("Ann"))
replay.verify_record(recording.load_record(path))
"""
    assert loaded_after(code, ("torch", "matplotlib", "minari", "jax")) == set()


# ---------------------------------------------------------------- episodes


def test_an_episode_is_that_of_the_vector_env(tmp_path):
    env = images_env(tmp_path)
    record = play(env, seed=7)
    envs = gym.make_vec(env.env_id, num_envs=1, autoreset_mode=AutoresetMode.DISABLED, **env.env_kwargs)
    observation, _ = envs.reset(seed=[7])
    for step in range(3):
        for name, values in (("glimpse", record.glimpses), ("location", record.locations), ("time", record.times)):
            np.testing.assert_array_equal(observation[name].reshape(values[step].shape), values[step])
        action = {"next_location": record.next_locations[step][None], "label": record.choices[step][None]}
        observation, rewards, _, _, info = envs.step(action)
        assert rewards[0] == record.rewards[step]
    assert record.times.tolist() == np.float32([0, 1 / 3, 2 / 3, 1]).tolist()
    assert (record.label, record.image_index) == (info["label"][0], info["image_index"][0])
    assert record.success == (record.choices[-1] == record.label)
    np.testing.assert_array_equal(record.image, envs.unwrapped.image[0])


def test_an_episode_shows_what_a_player_needs(tmp_path):
    env = images_env(tmp_path)
    episode = Episode(env, 3)
    assert episode.observation["glimpse"].shape == (1, 4, 4)
    assert episode.observation["location"].shape == (2,)
    assert (episode.num_glimpses, episode.glimpses_left, episode.num_steps, episode.num_steps_left) == (1, 2, 0, 3)
    assert episode.info["label"] == -1
    assert not episode.image_moves
    episode.step((0.25, -2.0), guess=1, seconds=0.5)
    assert episode.observation["location"].tolist() == [0.25, -1.0]
    episode.step((0.0, 0.0))
    assert (episode.num_glimpses, episode.glimpses_left, episode.num_steps_left, episode.over) == (3, 0, 1, False)
    episode.step((0.0, 0.0), 2)
    assert episode.over
    assert len(episode.observations) == 4
    record = episode.record("Ann")
    assert record.guesses.tolist() == [1, -1, 2]
    assert record.seconds[0] == 0.5
    assert math.isnan(record.seconds[1])
    assert record.next_locations[0].tolist() == [0.25, -2.0]
    assert (record.num_glimpses, record.num_steps) == (3, 3)
    assert episode.total_reward == record.rewards.sum() == record.success
    assert record.guess_probs is None
    assert not record.is_agent
    verify_record(record, trusted=True)


def test_an_early_answer_gives_up_the_glimpses_that_are_left(tmp_path):
    env = images_env(tmp_path, num_glimpses=6)
    label = play(env, seed=5).label
    episode = Episode(env, 5)
    episode.step((0.5, 0.5), seconds=1.0)
    episode.answer(label, seconds=2.0)
    record = episode.record("Ann")
    assert (record.num_glimpses, record.num_steps, record.success) == (2, 6, True)
    assert record.guesses.tolist() == [-1, *[label] * 5]
    assert record.seconds.tolist() == [1.0, 2.0, 0.0, 0.0, 0.0, 0.0]
    assert record.fixations[1:].tolist() == [[0.5, 0.5]]
    verify_record(record, trusted=True)


def test_games_have_no_final_answer():
    episode = Episode(catch_env(), 0)
    with pytest.raises(ValueError, match="every step of glimpse_gym/Catch-v0 has a move"):
        episode.answer(1)


def test_a_game_keeps_every_image():
    record = play(catch_env(), seed=2)
    assert record.images.shape == (6, 6, 6)
    assert record.glimpses.shape == (6, 3, 6, 6)
    assert (record.num_glimpses, record.num_steps) == (5, 5)
    assert record.image[-1].sum() >= 2 * 255
    assert record.guesses.tolist() == [-1] * 5
    assert (record.label, record.image_index) == (-1, -1)


def test_an_episode_without_glimpses_to_choose(tmp_path):
    episode = Episode(images_env(tmp_path, num_glimpses=1), 0)
    assert episode.glimpses_left == 0
    episode.answer(0)
    verify_record(episode.record("Ann"), trusted=True)


@pytest.mark.parametrize(
    ("location", "choice", "guess"),
    [((math.nan, 0.0), 0, None), ((0.0,), 0, None), ((0.0, 0.0), 3, None), ((0.0, 0.0), 0.5, None), ((0, 0), 0, 3)],
)
def test_a_refused_step_changes_nothing(tmp_path, location, choice, guess):
    episode = Episode(images_env(tmp_path), 0)
    with pytest.raises(ValueError, match="must be"):
        episode.step(location, choice, guess)
    assert episode.num_steps == 0
    while not episode.over:
        episode.step((0.0, 0.0))
    verify_record(episode.record("Ann"), trusted=True)


@pytest.mark.parametrize("seed", [-1, 0.5, True, None])
def test_refused_seeds(seed):
    with pytest.raises(ValueError, match="seed must be an integer from 0 to 18446744073709551615"):
        Episode(catch_env(), seed)


def test_a_later_episode_in_the_same_env_ends_an_earlier_one():
    env = catch_env()
    first = Episode(env, 0)
    second = Episode(env, 1)
    with pytest.raises(ResetNeeded, match="another one has started"):
        first.step((0.0, 0.0))
    while not second.over:
        second.step((0.0, 0.0))
    with pytest.raises(ResetNeeded, match="the episode is over"):
        second.step((0.0, 0.0))


def test_an_unfinished_episode_cannot_be_recorded():
    with pytest.raises(ValueError, match="only a finished episode"):
        Episode(catch_env(), 0).record("Ann")


def test_an_episode_that_takes_too_much_memory_is_refused(monkeypatch, tmp_path):
    for env, image_bytes in ((catch_env(), 36), (images_env(tmp_path), 0)):  # the still image is kept once
        num_bytes = (
            2
            * (env.metadata["num_glimpses"] + 1)
            * (4 * env.retina.num_scales * env.retina.patch_size**2 + image_bytes)
        )
        monkeypatch.setattr(episode_module, "MAX_BYTES", num_bytes)
        Episode(env, 0)
        monkeypatch.setattr(episode_module, "MAX_BYTES", num_bytes - 1)
        with pytest.raises(
            ValueError, match=f"take {num_bytes:,} bytes of memory.*pass fewer glimpses, or a larger max_b"
        ):
            Episode(env, 0)


# ---------------------------------------------------------------- agents


def test_an_agent_plays_the_same_episode_as_a_person(catch_agent):
    env = PlayEnv(CATCH)
    person = play(env, seed=11)
    agent = catch_agent.play(CATCH, {}, 11)
    assert (agent.env_id, agent.env_kwargs, agent.seed) == (person.env_id, person.env_kwargs, person.seed)
    np.testing.assert_array_equal(agent.images[0], person.images[0])
    np.testing.assert_array_equal(agent.glimpses[0], person.glimpses[0])
    assert agent.num_steps == person.num_steps
    assert (agent.player, agent.is_agent) == (CATCH_AGENT, True)
    assert (agent.seconds > 0).all()
    verify_record(agent, trusted=True)


def test_an_agent_acts_as_it_does_in_the_vector_env(catch_agent):
    record = catch_agent.play(CATCH, {}, 4)
    policy, _ = load_agent(agent_folder(CATCH_AGENT))
    envs = gym.make_vec(CATCH, num_envs=1, autoreset_mode=AutoresetMode.DISABLED)
    observation, _ = envs.reset(seed=[4])
    state = policy.initial_state(1)
    for step in range(record.num_steps):
        decision = policy.decide(observation, state)
        state = decision.state
        np.testing.assert_array_equal(decision.action["next_location"][0], record.next_locations[step])
        np.testing.assert_array_equal(decision.choice_probs[0], record.guess_probs[step])
        np.testing.assert_array_equal(decision.location_mean[0], record.location_means[step])
        assert decision.action["move"][0] == record.choices[step]
        observation = envs.step(decision.action)[0]
    assert record.location_std == policy.config.sigma


def test_the_same_seed_gives_the_same_episode_in_any_order(tmp_path):
    agent = AgentPlayer(CATCH_AGENT, sample=True)
    first = agent.play(CATCH, {}, 4)
    agent.play(CATCH, {}, 5)
    second = agent.play(CATCH, {}, 4)
    unmeasured = {"seconds": first.seconds, "started": first.started}
    assert_same_record(first, dataclasses.replace(second, **unmeasured))
    assert not np.array_equal(first.next_locations, first.location_means)
    assert_same_record(load_record(save_record(tmp_path, first)), first)


def test_a_trained_classifier_guesses_after_every_glimpse(run_folder, images):
    agent = AgentPlayer(run_folder, trusted=True)
    record = agent.play(IMAGES, {"images": images, "patch_size": 4, "num_scales": 1, "num_glimpses": 3}, 0)
    assert record.player == "run"
    np.testing.assert_array_equal(record.guesses, record.guess_probs.argmax(axis=1))
    assert record.guesses[-1] == record.choices[-1]
    assert "torch" in record.versions
    verify_record(record, trusted=True)


def test_an_agent_steps_by_itself(catch_agent):
    episode = catch_agent.begin(CATCH, {}, 3)
    for step in range(23):
        assert episode.num_steps == step
        assert catch_agent.step(episode).choice_probs.shape == (1, 3)
    assert episode.over


def test_an_agent_names_the_env_that_it_wants(catch_agent, tmp_path):
    message = rf"ram-catch was made for {CATCH} and cannot play {IMAGES}: .* 3 moves.* 3 labels"
    with pytest.raises(ValueError, match=message):
        catch_agent.play(IMAGES, noise_file(tmp_path), 0)
    with pytest.raises(ValueError, match="was made for glimpse_gym/Catch-v0"):
        catch_agent.check_env(images_env(tmp_path))


def test_an_agent_that_does_not_exist():
    with pytest.raises(CheckpointError, match="no pretrained agent and no folder is called nobody"):
        AgentPlayer("nobody")
