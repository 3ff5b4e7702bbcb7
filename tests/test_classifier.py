"""Networks that see a whole image in one glimpse. B images of H x W pixels, K classes."""

import math
import os

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

import glimpse_gym.agents
import oracles
from glimpse_gym.agents.base import Task
from glimpse_gym.agents.checkpoint import Card, CheckpointError, load_agent, save_agent
from glimpse_gym.agents.classifier import Classifier, ClassifierConfig
from glimpse_gym.agents.evaluation import Conditions, evaluate
from glimpse_gym.agents.learner import ImageLearner, ImageTrainConfig
from glimpse_gym.agents.trainer import Run
from runs import assert_same_weights, stop_after

ENV = "glimpse_gym/Images-v0"
NETWORKS = ("full", "conv", "cnn")
SIDE = 12
every_network = pytest.mark.parametrize("network", NETWORKS)


def stripes(number=400):
    """Noisy stripes that run across (0) or down (1)."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, number)
    images = rng.integers(0, 100, (number, SIDE, SIDE))
    for image, label in zip(images, labels, strict=True):
        lit = np.arange(SIDE) // 2 % 2 == rng.integers(2)
        image[:] += 150 * (lit[:, None] if label == 0 else lit[None, :])
    return images.astype(np.uint8), labels


def whole_view(side):
    return {"patch_size": side, "num_scales": 1, "num_glimpses": 1, "first_glimpse": "center"}


@pytest.fixture(scope="module")
def env_kwargs(tmp_path_factory):
    images, labels = stripes()
    path = tmp_path_factory.mktemp("stripes") / "stripes.npz"
    np.savez(path, images=images, labels=labels)
    return {"images": str(path), **whole_view(SIDE)}


def make_learner(env_kwargs, network, **training):
    config = {"num_episodes": 40 * 50, "batch_size": 50, "learning_rate": 0.01, "warmup_updates": 2} | training
    return ImageLearner(ENV, env_kwargs, ImageTrainConfig(**config), ClassifierConfig(network=network, units=16))


def make_agent(network, units, side, channels=1, num_choices=10):
    return Classifier(Task((channels, side, side), 1, "label", num_choices), ClassifierConfig(network, units)).eval()


def state_of(agent):
    return {name: value.clone() for name, value in agent.state_dict().items()}


# ------------------------------------------------------------------------------------------------- networks


def num_weights(agent):
    return sum(weight.numel() for weight in agent.parameters())


@pytest.mark.parametrize(("side", "places"), [(28, 4), (60, 11), (100, 19)])
def test_the_papers_filters_are_ten_wide_and_five_apart(side, places):
    agent = make_agent("conv", 16, side)
    filters = agent.network[0]
    assert filters.weight.shape == (8, 1, 10, 10)
    image = torch.rand(1, 1, side, side)
    maps = filters(image)
    assert maps.shape == (1, 8, places, places)
    # The first, the second and the last place, multiplied by hand.
    for place in (0, 1, places - 1):
        seen = image[0, 0, 5 * place : 5 * place + 10, 5 * place : 5 * place + 10]
        expected = (filters.weight[:, 0] * seen).sum((1, 2)) + filters.bias
        torch.testing.assert_close(maps[0, :, place, place], expected)
    assert 5 * (places - 1) + 10 <= side < 5 * places + 10


@pytest.mark.parametrize(
    ("network", "units", "side", "expected"),
    [
        # Filters and their thresholds; 8 maps of 11 x 11 to 256 rectifiers; those to the ten classes.
        ("conv", 256, 60, (8 * 100 + 8) + (8 * 11 * 11 * 256 + 256) + (256 * 10 + 10)),
        ("conv", 86, 100, 250_132),
        ("conv", 256, 28, (8 * 100 + 8) + (8 * 4 * 4 * 256 + 256) + (256 * 10 + 10)),
        ("full", 64, 60, 235_274),
        ("full", 256, 60, (3600 * 256 + 256) + (256 * 256 + 256) + (256 * 10 + 10)),
        ("full", 256, 28, 269_322),
        # 9 weights for each pair of maps; two numbers of batch normalization for each map.
        ("cnn", 64, 28, 9 * (16 + 16 * 32 + 32 * 64 + 64 * 64) + 2 * (16 + 32 + 64 + 64) + (64 * 10 + 10)),
        ("cnn", 64, 100, 61_050),
    ],
)
def test_weights_counted_by_hand(network, units, side, expected):
    assert num_weights(make_agent(network, units, side)) == expected


@every_network
def test_colors_cost_weights_in_the_first_layer_only(network):
    gray, color = (dict(make_agent(network, 16, 20, channels).named_parameters()) for channels in (1, 3))
    grown = {name: color[name].numel() / gray[name].numel() for name in gray if color[name].shape != gray[name].shape}
    assert list(grown.values()) == [3.0]
    assert make_agent(network, 16, 20, 3).network(torch.rand(2, 3, 20, 20)).shape == (2, 10)


def test_full_follows_its_equation():
    agent = make_agent("full", 7, 5, num_choices=3)
    weights = [weight.detach().numpy() for weight in agent.parameters()]
    image = torch.rand(4, 1, 5, 5)
    value = image.numpy().reshape(4, 25)
    for layer in range(3):
        value = value @ weights[2 * layer].T + weights[2 * layer + 1]
        value = np.maximum(value, 0) if layer < 2 else value
    np.testing.assert_allclose(agent.network(image).detach(), value, rtol=1e-4, atol=1e-6)


def test_conv_follows_its_equation():
    agent = make_agent("conv", 6, 20, num_choices=3)
    filters, thresholds, *weights = (weight.detach().numpy() for weight in agent.parameters())
    image = torch.rand(1, 1, 20, 20)
    maps = np.zeros((8, 3, 3))
    for f in range(8):
        for i in range(3):
            for j in range(3):
                seen = image[0, 0, 5 * i : 5 * i + 10, 5 * j : 5 * j + 10].numpy()
                maps[f, i, j] = (seen * filters[f, 0]).sum() + thresholds[f]
    hidden = np.maximum(weights[0] @ np.maximum(maps, 0).reshape(-1) + weights[1], 0)
    expected = weights[2] @ hidden + weights[3]
    np.testing.assert_allclose(agent.network(image).detach()[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("side", "last"), [(28, 7), (60, 7), (100, 12)])
def test_the_cnn_begins_with_a_stride_where_images_are_large(side, last):
    agent, shapes = make_agent("cnn", 16, side), []
    for layer in agent.network:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _given, made: shapes.append(tuple(made.shape[1:])))
    agent.network(torch.rand(1, 1, side, side))
    first = side if side <= 28 else side // 2
    assert shapes == [(4, first, first), (8, first // 2, first // 2), (16, last, last), (16, last, last)]


@every_network
def test_no_row_depends_on_another_when_it_acts(network):
    agent, images = make_agent(network, 16, SIDE), torch.rand(5, 1, SIDE, SIDE)
    together = agent.network(images)
    for row in range(5):
        torch.testing.assert_close(agent.network(images[row : row + 1])[0], together[row])


# --------------------------------------------------------------------------------------------------- acting


@every_network
def test_acting_is_deterministic_and_looks_at_the_center(network, env_kwargs):
    envs = gym.make_vec(ENV, num_envs=6, **env_kwargs)
    agent = make_agent(network, 16, SIDE, num_choices=2)
    observation, _ = envs.reset(seed=0)
    before = torch.random.get_rng_state()
    said = []
    for seed, sample in ((0, False), (0, True), (7, False)):
        agent.seed(seed)
        said.append(agent.act(observation, agent.initial_state(6), sample=sample))
    assert torch.equal(torch.random.get_rng_state(), before)
    oracles.assert_identical(said[1], said[0])
    oracles.assert_identical(said[2], said[0])
    action, state = said[0]
    assert state is None
    assert envs.action_space.contains(action)
    oracles.assert_identical(action["location"], np.zeros((6, 2), np.float32))
    logits = agent.network(torch.from_numpy(observation["glimpse"])).detach().numpy()
    oracles.assert_identical(action["label"], np.array([max(range(2), key=row.__getitem__) for row in logits]))


def test_in_the_whole_view_the_glimpse_is_the_image(env_kwargs):
    envs = gym.make_vec(ENV, num_envs=6, **env_kwargs)
    observation, _ = envs.reset(seed=0)
    expected = np.stack(envs.unwrapped.image)[:, None].astype(np.float32) / 255
    np.testing.assert_allclose(observation["glimpse"], expected, rtol=1e-6)


def test_another_env_is_refused(env_kwargs):
    agent = make_agent("full", 16, SIDE, num_choices=2)
    agent.check_env(gym.make_vec(ENV, num_envs=2, **env_kwargs))
    for change in (whole_view(8), {"num_classes": 3}):
        with pytest.raises(ValueError, match="the agent was made for glimpses of shape"):
            agent.check_env(gym.make_vec(ENV, num_envs=2, **env_kwargs | change))


# ------------------------------------------------------------------------------------------------- learning


@every_network
def test_learns_a_trivial_task(network, env_kwargs):
    learner = make_learner(env_kwargs, network)
    while not learner.done:
        learner.update()
    assert evaluate(learner.agent, ENV, env_kwargs, Conditions("test")).errors[0] < 0.05
    assert evaluate(learner.agent, ENV, env_kwargs, Conditions("validation")).num_episodes == 40


@every_network
def test_the_loss_is_the_cross_entropy_and_everything_learns_from_it(network, env_kwargs):
    envs = gym.make_vec(ENV, num_envs=8, autoreset_mode=AutoresetMode.DISABLED, **env_kwargs, reveal_label=True)
    agent = make_agent(network, 16, SIDE, num_choices=2)
    losses, correct = agent.learn_from(envs, list(range(8)), copies=1)
    observation, info = envs.reset(seed=list(range(8)))
    logits = agent.network(torch.from_numpy(observation["glimpse"])).detach().double().numpy()
    expected = 0.0
    for row, label in zip(logits, info["label"], strict=True):
        expected -= (row[label] - math.log(sum(math.exp(value) for value in row))) / 8
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)
    assert losses.classification.item() == losses.total.item()
    assert (losses.reinforce, losses.baseline) == (0, 0)
    assert correct.tolist() == (logits.argmax(axis=1) == info["label"]).tolist()
    losses.total.backward()
    assert all(weight.grad.abs().max() > 0 for weight in agent.parameters())


@every_network
def test_the_same_seed_twice_is_bit_equal_and_another_is_not(network, env_kwargs):
    def state(seed):
        learner = make_learner(env_kwargs, network, seed=seed)
        for _ in range(3):
            learner.update()
        return learner.agent.state_dict()

    first, again, other = state(1), state(1), state(2)
    assert_same_weights(first, again)
    assert not any(torch.equal(first[name], other[name]) for name in first if "num_batches" not in name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": "resnet"}, "network must be one of 'full', 'conv', 'cnn'; got 'resnet'"),
        ({"units": 0}, "units must be at least 1, got 0"),
        ({"units": 2.5}, "units must be of type int"),
        ({"network": "cnn", "units": 3}, "units must be at least 4"),  # a quarter of them are the first filters
    ],
)
def test_configurations_that_make_no_sense(values, message):
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(**values)


@pytest.mark.parametrize(("network", "side"), [("conv", 9), ("conv", 4), ("cnn", 3)])
def test_images_too_small_for_a_network_are_refused_before_it_learns(network, side):
    with pytest.raises(ValueError, match=network):
        make_agent(network, 16, side)


# ------------------------------------------------------------------------------------- batch normalization


def test_learning_moves_the_buffers_and_an_evaluation_does_not(env_kwargs):
    learner = make_learner(env_kwargs, "cnn")
    before = state_of(learner.agent)
    learner.update()
    learned = state_of(learner.agent)
    buffers = {name for name, _ in learner.agent.named_buffers()}
    assert len(buffers) == 4 * 3
    assert not any(torch.equal(before[name], learned[name]) for name in before)
    for sample in (False, True):
        evaluate(learner.agent, ENV, env_kwargs, Conditions("train", sample=sample))
    assert_same_weights(learner.agent.state_dict(), learned)


def test_what_is_said_of_an_image_does_not_depend_on_its_neighbors_nor_on_how_often_it_is_asked(env_kwargs):
    learner = make_learner(env_kwargs, "cnn")
    for _ in range(3):
        learner.update()
    agent, images = learner.agent, torch.rand(6, 1, SIDE, SIDE)
    first = agent.network(images)
    assert torch.equal(agent.network(images), first)
    torch.testing.assert_close(agent.network(images[:2]), first[:2])


# ----------------------------------------------------------------------------------------------- checkpoints


@every_network
def test_saved_and_loaded_it_is_the_same(network, env_kwargs, tmp_path):
    learner = make_learner(env_kwargs, network)
    for _ in range(2):
        learner.update()
    agent = learner.agent
    card = Card(ENV, env_kwargs, agent.config, agent.task, {"seed": 3}, "typed")
    save_agent(tmp_path / "agent", agent, card)
    loaded, its_card = load_agent(tmp_path / "agent")
    assert isinstance(loaded, Classifier)
    assert its_card == card
    assert (loaded.config, loaded.task) == (agent.config, agent.task)
    assert not loaded.training
    assert_same_weights(loaded.state_dict(), agent.state_dict())
    oracles.assert_identical(
        evaluate(loaded, ENV, env_kwargs, Conditions("test")), evaluate(agent, ENV, env_kwargs, Conditions("test"))
    )
    assert isinstance(glimpse_gym.agents.load(tmp_path / "agent"), Classifier)


def test_weights_of_another_network_do_not_fit(env_kwargs, tmp_path):
    for network in ("full", "conv"):
        agent = make_agent(network, 16, SIDE, num_choices=2)
        save_agent(tmp_path / network, agent, Card(ENV, env_kwargs, agent.config, agent.task))
    os.replace(tmp_path / "conv" / "weights.safetensors", tmp_path / "full" / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"does not fit the agent that agent\.json describes"):
        load_agent(tmp_path / "full")


@pytest.fixture
def make_run(tmp_path, env_kwargs, monkeypatch):
    monkeypatch.setattr(Run, "_draw_curve", lambda run: None)  # which costs more than these trainings

    def make(name, resume=False):
        training = ImageTrainConfig(
            num_episodes=120, batch_size=20, num_evaluations=2, validation_episodes=40, warmup_updates=0
        )
        return Run(tmp_path / name, ENV, env_kwargs, training, ClassifierConfig("cnn", units=8), resume=resume)

    return make


def test_a_run_stopped_and_resumed_is_bit_equal_to_one_that_was_not(make_run):
    whole = make_run("whole")
    assert whole.train(progress=False)
    stopped = make_run("stopped")
    stop_after(stopped, 4)
    assert not stopped.train(progress=False)
    resumed = make_run("stopped", resume=True)
    assert resumed.learner.num_updates_done == 4
    assert resumed.train(progress=False)
    assert_same_weights(resumed.agent.state_dict(), whole.agent.state_dict())
    assert resumed.history[-1]["validation_error"] == whole.history[-1]["validation_error"]


def test_a_finished_run_taken_up_again_is_measured_as_it_was(make_run, env_kwargs):
    run = make_run("run")
    run.train(progress=False)
    before, score = state_of(run.agent), evaluate(run.agent, ENV, env_kwargs, Conditions("train"))
    again = make_run("run", resume=True)
    assert again.train(progress=False)
    assert evaluate(again.agent, ENV, env_kwargs, Conditions("train")) == score
    assert_same_weights(again.agent.state_dict(), before)
