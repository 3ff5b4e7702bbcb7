"""Learning to play: what is remembered of games, what is made of it, and that it is worth it. B games of T steps."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch

import oracles
from glimpse_gym.agents.classifier import ClassifierConfig
from glimpse_gym.agents.evaluation import Conditions, evaluate
from glimpse_gym.agents.learner import ImageLearner, ImageTrainConfig
from glimpse_gym.agents.networks import CORES
from glimpse_gym.agents.ppo import GameLearner, Games, GameTrainConfig
from glimpse_gym.agents.ram import RAMConfig
from glimpse_gym.agents.trainer import Run
from runs import assert_same_weights, stop_after

CATCH = "glimpse_gym/Catch-v0"
T, B = 3, 24
ENV_KWARGS = {"num_glimpses": T, "patch_size": 3, "num_scales": 2}
SMALL = {"glimpse_units": 8, "location_units": 8, "glimpse_features": 16, "hidden_units": 16, "pathwise_limit": 0.0}
TRAINING = {"num_episodes": 10 * B, "batch_size": B, "minibatch_size": 8, "learning_rate": 0.01, "warmup_updates": 0}
PARTS = ("glimpse_network", "core_network", "location_network", "choice_network", "baseline")


def make_learner(env_kwargs=ENV_KWARGS, training=None, **config):
    training = GameTrainConfig(**TRAINING | (training or {}))
    return GameLearner(CATCH, env_kwargs, training, RAMConfig(**SMALL | {"core": "lstm"} | config))


def stir(module, amount=0.3, seed=0):
    """Change the weights, so that what was done is less or more likely than when it was done."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight += amount * torch.randn(weight.shape, generator=generator)


def some_advantages(seed=1):
    return torch.randn(T, B, generator=torch.Generator().manual_seed(seed))


# -------------------------------------------------------------------------------------------------- playing


def test_games_are_remembered_as_they_were_played():
    learner = make_learner(sigma=0.6)
    games = learner._play()
    assert games.glimpses.shape == (T, B, 2, 3, 3)
    assert {tuple(part.shape) for part in games[3:4] + games[1:2]} == {(T, B, 2)}
    assert {tuple(part.shape) for part in (games.choices, *games[4:])} == {(T, B)}
    assert games.drawn.abs().max() > 1  # as it was drawn, not as it was clipped
    # The same games again, one alone and step by step.
    for b in (0, 7, B - 1):
        env = gym.make(CATCH, **ENV_KWARGS)
        observation, _ = env.reset(seed=b)
        for t in range(T):
            oracles.assert_identical(observation["glimpse"], games.glimpses[t, b].numpy())
            oracles.assert_identical(observation["location"], games.locations[t, b].numpy())
            action = {"move": int(games.choices[t, b]), "location": games.drawn[t, b].numpy()}
            observation, reward, ended, *_ = env.step(action)
            assert reward == games.rewards[t, b]
            assert ended == (t == T - 1)
    assert 0 < games.rewards.sum() < B
    assert not any(part.requires_grad for part in games)


def test_moves_are_drawn_by_their_probabilities():
    learner = make_learner(training={"batch_size": 3000, "minibatch_size": 3000})
    agent = learner.agent
    with torch.no_grad():
        agent.choice_network.logits.weight.zero_()
        agent.choice_network.logits.bias.copy_(torch.tensor([0.2, 0.5, 0.3]).log())
    choices = learner._play().choices
    for move, chance in enumerate((0.2, 0.5, 0.3)):
        oracles.assert_binomial(int((choices == move).sum()), 3000 * T, chance)


def test_log_probabilities_are_those_of_a_choice_and_a_gaussian():
    learner = make_learner(sigma=0.3)
    games = learner._play()
    with torch.no_grad():
        thoughts = learner.agent.think_through(games.glimpses, games.locations)
        choice = torch.distributions.Categorical(logits=thoughts.logits).log_prob(games.choices)
        place = torch.distributions.Normal(thoughts.mean, 0.3).log_prob(games.drawn).sum(-1)
    constant = -2 * math.log(0.3 * math.sqrt(2 * math.pi))  # which no ratio knows of
    torch.testing.assert_close(games.log_probabilities, choice + place - constant, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("core", CORES)
def test_what_is_thought_of_games_is_what_was_thought_while_they_were_played(core):
    learner = make_learner(core=core, scale_gain=4.0)
    games = learner._play()
    thoughts = learner.agent.think_through(games.glimpses, games.locations)
    again = learner._log_probability(thoughts, games.choices, games.drawn)
    torch.testing.assert_close(again, games.log_probabilities, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(learner.agent.baseline(thoughts.hidden), games.values, rtol=1e-5, atol=1e-5)


def test_some_of_the_games():
    games = make_learner()._play()
    index = torch.tensor([5, 0, 5])
    some = games.rows(index)
    for part, whole in zip(some, games, strict=True):
        for i, b in enumerate(index):
            assert torch.equal(part[:, i], whole[:, b])


# ---------------------------------------------------------------------------------------------- advantages


def games_of(rewards, values):
    """Games of which nothing else is known."""
    nothing = torch.zeros(0)
    return Games(nothing, nothing, nothing, nothing, nothing, torch.tensor(values), torch.tensor(rewards))


@pytest.mark.parametrize(("discount", "trace"), [(0.99, 0.95), (1.0, 1.0), (0.5, 0.25), (0.9, 0.0), (0.0, 0.7)])
def test_advantages_against_a_slow_double_loop(discount, trace):
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    expected = np.zeros((5, 4))
    for b in range(4):
        for t in range(5):
            for later in range(t, 5):
                after = values[later + 1, b] if later < 4 else 0.0
                surprise = rewards[later, b] + discount * after - values[later, b]
                expected[t, b] += (discount * trace) ** (later - t) * surprise
    learner = make_learner(training={"discount": discount, "trace": trace})
    found = learner._advantages(games_of(rewards.tolist(), values.tolist()))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_advantages_by_hand():
    games = games_of([[0.0], [0.0], [1.0]], [[0.5], [0.25], [0.75]])
    # Looking to the end, the reward less what was expected; looking one step ahead, the change of what was expected.
    far = make_learner(training={"discount": 1.0, "trace": 1.0})._advantages(games)
    near = make_learner(training={"discount": 1.0, "trace": 0.0})._advantages(games)
    assert far.T.tolist() == [[0.5, 0.75, 0.25]]
    assert near.T.tolist() == [[-0.25, 0.5, 0.25]]


# ---------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("core", CORES)
def test_the_ratio_is_one_before_anything_is_learned(core):
    learner = make_learner(core=core)
    games, advantages = learner._play(), some_advantages()
    losses = learner._losses(games, advantages, advantages + games.values)
    # All ratios being one, the loss is the mean advantage; and of each game alone it is so, too.
    torch.testing.assert_close(losses["policy"], -advantages.mean(), rtol=1e-5, atol=1e-5)
    for b in range(0, B, 5):
        index = torch.tensor([b])
        one = learner._losses(games.rows(index), advantages[:, index], torch.zeros(T, 1))
        torch.testing.assert_close(one["policy"], -advantages[:, b].mean(), rtol=1e-5, atol=1e-5)


def test_losses_against_plain_loops():
    learner = make_learner(training={"clip": 0.15, "entropy_weight": 0.03, "value_weight": 0.7})
    games, advantages = learner._play(), some_advantages()
    returns = some_advantages(seed=2)
    stir(learner.agent)
    learner.num_updates_done = 4  # of ten: six tenths of the entropy's weight are left
    agent = learner.agent
    with torch.no_grad():
        thoughts = agent.think_through(games.glimpses, games.locations)
        values = agent.baseline(thoughts.hidden)
    policy = value = entropy = 0.0
    num_clipped = 0
    for t in range(T):
        for b in range(B):
            chances = np.exp(thoughts.logits[t, b].double().numpy())
            chances /= chances.sum()
            distance = ((games.drawn[t, b] - thoughts.mean[t, b]).double() ** 2).sum().item()
            log_probability = math.log(chances[games.choices[t, b]]) - distance / (2 * agent.config.sigma**2)
            ratio = math.exp(log_probability - games.log_probabilities[t, b].item())
            advantage = advantages[t, b].item()
            nearest = min(max(ratio, 0.85), 1.15)
            num_clipped += nearest * advantage < ratio * advantage
            policy -= min(ratio * advantage, nearest * advantage) / (T * B)
            value += (values[t, b] - returns[t, b]).item() ** 2 / (T * B)
            entropy -= (chances * np.log(chances)).sum() / (T * B)
    assert 5 < num_clipped < T * B - 5
    losses = learner._losses(games, advantages, returns)
    expected = {"policy": policy, "baseline": value, "entropy": entropy}
    expected["total"] = policy + 0.7 * value - 0.6 * 0.03 * entropy
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-3)


def gradient_of_policy(learner, games, advantages):
    learner.agent.zero_grad()
    learner._losses(games, advantages, games.values)["total"].backward()
    return learner.agent.choice_network.logits.weight.grad


def test_nothing_is_learned_from_what_has_already_become_likelier_by_enough():
    learner = make_learner(training={"entropy_weight": 0.0, "value_weight": 0.0})
    games = learner._play()
    likelier = games._replace(log_probabilities=games.log_probabilities - 1)  # than they were then, by a factor of e
    rarer = games._replace(log_probabilities=games.log_probabilities + 1)
    good, bad = torch.ones(T, B), -torch.ones(T, B)
    assert not gradient_of_policy(learner, likelier, good).any()
    assert not gradient_of_policy(learner, rarer, bad).any()
    for now, advantages in ((likelier, bad), (rarer, good), (games, good), (games, bad)):
        assert gradient_of_policy(learner, now, advantages).any()


def gradients(learner, games):
    """The parts of the agent that the locations' probabilities, and nothing else, send a gradient to."""
    agent = learner.agent
    thoughts = agent.think_through(games.glimpses, games.locations)
    agent.zero_grad(set_to_none=True)
    agent.log_probability(games.drawn, thoughts.mean).sum().backward()
    return {
        name for name in PARTS if any(w.grad is not None and w.grad.any() for w in getattr(agent, name).parameters())
    }


@pytest.mark.parametrize("into_core", [True, False])
def test_switch_of_the_locations_gradients_into_the_core(into_core):
    learner = make_learner(reinforce_into_core=into_core)
    expected = {"location_network", "core_network", "glimpse_network"} if into_core else {"location_network"}
    assert gradients(learner, learner._play()) == expected


def test_of_random_looks_only_the_moves_are_learned():
    learner = make_learner(looks="random")
    games, advantages = learner._play(), some_advantages()
    assert games.drawn.abs().max() <= 1
    assert abs(oracles.chi_square(np.bincount(((games.drawn[..., 0].flatten() + 1) * 2).long(), minlength=4))) < 5
    stir(learner.agent.location_network)  # which chose nothing, so nothing has become likelier
    losses = learner._losses(games, advantages, games.values)
    torch.testing.assert_close(losses["policy"], -advantages.mean(), rtol=1e-4, atol=1e-4)


def test_an_update_learns_from_each_game_as_often_as_it_was_asked_to(monkeypatch):
    learner = make_learner(training={"epochs": 2})
    played, seen = [], []
    play, losses = learner._play, learner._losses
    monkeypatch.setattr(learner, "_play", lambda: played.append(play()) or played[-1])
    monkeypatch.setattr(learner, "_losses", lambda *parts: seen.append(parts) or losses(*parts))
    _, error = learner.update()
    (games,) = played
    assert error == pytest.approx(1 - games.rewards[-1].mean().item())
    assert [part[1].shape for part in seen] == [(T, 8)] * 6
    advantages = learner._advantages(games)
    returns = advantages + games.values
    advantages = (advantages - advantages.mean()) / advantages.std()
    orders = []
    for epoch in (seen[:3], seen[3:]):
        order = []
        for some, its_advantages, its_returns in epoch:
            for i in range(8):
                (b,) = [b for b in range(B) if torch.equal(some.drawn[:, i], games.drawn[:, b])]
                torch.testing.assert_close(its_advantages[:, i], advantages[:, b])
                torch.testing.assert_close(its_returns[:, i], returns[:, b])
                order.append(b)
        assert sorted(order) == list(range(B))
        orders.append(order)
    assert orders[0] != orders[1]
    assert learner.num_updates_done == 1


def test_each_update_plays_games_of_its_own(monkeypatch):
    learner, seeds = make_learner(), []
    reset = learner.envs.reset
    monkeypatch.setattr(learner.envs, "reset", lambda seed: seeds.extend(seed) or reset(seed=seed))
    for _ in range(4):
        learner.update()
    assert len(set(seeds)) == 4 * B


# -------------------------------------------------------------------------------------------------- learning


def test_the_same_seed_twice_is_bit_equal_and_another_is_not():
    def weights(seed):
        learner = make_learner(training={"seed": seed})
        for _ in range(6):
            learner.update()
        return learner.agent.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert_same_weights(first, again)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_every_part_of_the_agent_learns():
    learner = make_learner()
    before = {name: weight.clone() for name, weight in learner.agent.state_dict().items()}
    learner.update()
    assert not any(torch.equal(before[name], weight) for name, weight in learner.agent.state_dict().items())


def test_learns_to_catch():
    env_kwargs = ENV_KWARGS | {"num_glimpses": 4}
    training = {"num_episodes": 50 * 128, "batch_size": 128, "minibatch_size": 64, "learning_rate": 8e-3}
    sizes = {"glimpse_units": 32, "location_units": 16, "glimpse_features": 32, "hidden_units": 32}
    learner = make_learner(env_kwargs, training, **sizes, core="gru", scale_gain=4.0, sigma=0.2)
    while not learner.done:
        learner.update()
    missed = evaluate(learner.agent, CATCH, env_kwargs, Conditions("test"), num_episodes=2000).errors[0]
    chance = 1 - float(oracles.chance_of_random_catch(4))
    assert chance > 0.56
    assert missed < 0.4


# ----------------------------------------------------------------------------------------- what is refused


def test_images_are_no_game_and_a_classifier_plays_none():
    images = {"images": np.zeros((20, 8, 8), np.uint8), "labels": np.arange(20) % 2, "patch_size": 4}
    config = GameTrainConfig(**TRAINING)
    for env_id, kwargs, agent_config in (
        ("glimpse_gym/Images-v0", images, RAMConfig(**SMALL)),
        ("glimpse_gym/Images-v0", images, ClassifierConfig(units=4)),
        (CATCH, ENV_KWARGS, ClassifierConfig(units=4)),
    ):
        with pytest.raises(ValueError, match=f"^{env_id} with .*: it takes a RAM and a game to learn to play"):
            GameLearner(env_id, kwargs, config, agent_config)


def test_a_game_shows_no_images_to_be_named():
    with pytest.raises(ValueError, match=f"{CATCH} shows no images to be named"):
        ImageLearner(CATCH, ENV_KWARGS, ImageTrainConfig(batch_size=4), RAMConfig(**SMALL))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 100, "minibatch_size": 64}, "batch_size must be a multiple of minibatch_size=64, got 100"),
        ({"batch_size": 32, "minibatch_size": 64}, "batch_size must be a multiple of minibatch_size=64, got 32"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"minibatch_size": 0}, "minibatch_size must be at least 1"),
        ({"clip": 0.0}, "clip must be greater than 0"),
        ({"discount": -0.1}, "discount must be at least 0"),
        ({"trace": float("nan")}, "trace must be finite"),
        ({"entropy_weight": "some"}, "entropy_weight must be of type float"),
        ({"num_episodes": 0}, "num_episodes must be at least 1"),
    ],
)
def test_configurations_that_make_no_sense(values, message):
    with pytest.raises(ValueError, match=message):
        GameTrainConfig(**values)


# ------------------------------------------------------------------------------------------ stop and resume


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "_draw_curve", lambda run: None)  # which costs more than these trainings

    def make(name, resume=False, core="lstm", **config):
        training = GameTrainConfig(**TRAINING | {"num_evaluations": 3, "validation_episodes": 100})
        agent_config = RAMConfig(**SMALL | {"core": core} | config)
        return Run(tmp_path / name, CATCH, ENV_KWARGS, training, agent_config, resume=resume)

    return make


def assert_same_run(a, b):
    assert_same_weights(a.agent.state_dict(), b.agent.state_dict())
    assert len(a.history) == len(b.history) == 3
    for mine, other in zip(a.history, b.history, strict=True):
        assert mine | {"seconds": 0} == other | {"seconds": 0}


@pytest.mark.parametrize("config", [{}, {"core": "gru"}, {"looks": "random"}], ids=str)
def test_a_run_stopped_and_resumed_is_bit_equal_to_one_that_was_not(make_run, config):
    whole = make_run("whole", **config)
    assert whole.train(progress=False)
    assert [record["episodes"] for record in whole.history] == [4 * B, 7 * B, 10 * B]
    stopped = make_run("stopped", **config)
    stop_after(stopped, 6)
    assert not stopped.train(progress=False)
    assert stopped.learner.num_updates_done == 6
    resumed = make_run("stopped", resume=True, **config)
    assert resumed.learner.num_updates_done == 6
    assert resumed.train(progress=False)
    assert_same_run(resumed, whole)


def test_a_run_killed_between_two_saves_goes_on_from_the_first(make_run):
    whole = make_run("whole")
    whole.train(progress=False)
    killed = make_run("killed")
    for _ in range(3):
        killed.learner.update()
    killed.save()
    for _ in range(2):  # in vain
        killed.learner.update()
    resumed = make_run("killed", resume=True)
    assert resumed.learner.num_updates_done == 3
    assert resumed.train(progress=False)
    assert_same_weights(resumed.agent.state_dict(), whole.agent.state_dict())
