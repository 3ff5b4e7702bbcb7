"""Whole-image classifiers: networks against their equations, acting, and checkpoints. K classes."""

import numpy as np
import pytest
import torch

import glimpse_gym.agents
import oracles
from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.checkpoint import CheckpointError, CheckpointMetadata, load_agent, load_weights, save_agent
from glimpse_gym.agents.classifier import Classifier
from glimpse_gym.agents.configs import ClassifierConfig
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.supervised import Supervised
from runs import (
    IMAGES,
    assert_same_weights,
    make_envs,
    run_updates,
    stripes_file,
    supervised_config,
    whole_image,
)
from runs import STRIPES_SIDE as SIDE

every_network = pytest.mark.parametrize("network", ["fc", "conv", "cnn"])


@pytest.fixture(scope="module")
def env_kwargs(tmp_path_factory):
    return stripes_file(tmp_path_factory.mktemp("stripes"))


def make_classifier(network, units, side, channels=1, num_choices=10):
    task_spec = TaskSpec((channels, side, side), 1, "label", num_choices, choice_is_final=True)
    return Classifier(task_spec, ClassifierConfig(network, units)).eval()


# ------------------------------------------------------------------------------------------------- networks


def num_weights(policy):
    return sum(weight.numel() for weight in policy.parameters())


@pytest.mark.parametrize(("side", "positions"), [(28, 4), (60, 11), (100, 19)])
def test_conv_has_the_filters_of_the_paper_10_wide_at_stride_5(side, positions):
    policy = make_classifier("conv", 16, side)
    filters = policy.network[0]
    assert filters.weight.shape == (8, 1, 10, 10)
    image = torch.rand(1, 1, side, side)
    maps = filters(image)
    assert maps.shape == (1, 8, positions, positions)
    # The first, the second and the last position, multiplied by hand.
    for position in (0, 1, positions - 1):
        seen = image[0, 0, 5 * position : 5 * position + 10, 5 * position : 5 * position + 10]
        expected = (filters.weight[:, 0] * seen).sum((1, 2)) + filters.bias
        torch.testing.assert_close(maps[0, :, position, position], expected)
    assert 5 * (positions - 1) + 10 <= side < 5 * positions + 10


@pytest.mark.parametrize(
    ("network", "units", "side", "expected"),
    [
        # Filters and biases; 8 maps of 11 x 11 to 256 ReLU units; those to the ten classes.
        ("conv", 256, 60, (8 * 100 + 8) + (8 * 11 * 11 * 256 + 256) + (256 * 10 + 10)),
        ("conv", 86, 100, 250_132),
        ("conv", 256, 28, (8 * 100 + 8) + (8 * 4 * 4 * 256 + 256) + (256 * 10 + 10)),
        ("fc", 64, 60, 235_274),
        ("fc", 256, 60, (3600 * 256 + 256) + (256 * 256 + 256) + (256 * 10 + 10)),
        ("fc", 256, 28, 269_322),
        # 9 weights per pair of maps; scale and shift of batch normalization per map.
        ("cnn", 64, 28, 9 * (16 + 16 * 32 + 32 * 64 + 64 * 64) + 2 * (16 + 32 + 64 + 64) + (64 * 10 + 10)),
        ("cnn", 64, 100, 61_050),
    ],
)
def test_number_of_weights(network, units, side, expected):
    assert num_weights(make_classifier(network, units, side)) == expected


@every_network
def test_color_images_need_more_weights_in_the_first_layer_only(network):
    gray, color = (dict(make_classifier(network, 16, 20, channels).named_parameters()) for channels in (1, 3))
    grown = {name: color[name].numel() / gray[name].numel() for name in gray if color[name].shape != gray[name].shape}
    assert list(grown.values()) == [3.0]
    assert make_classifier(network, 16, 20, 3).network(torch.rand(2, 3, 20, 20)).shape == (2, 10)


def test_fc_follows_its_equation():
    policy = make_classifier("fc", 7, 5, num_choices=3)
    weights = [weight.detach().numpy() for weight in policy.parameters()]
    image = torch.rand(4, 1, 5, 5)
    value = image.numpy().reshape(4, 25)
    for layer in range(3):
        value = value @ weights[2 * layer].T + weights[2 * layer + 1]
        value = np.maximum(value, 0) if layer < 2 else value
    np.testing.assert_allclose(policy.network(image).detach(), value, rtol=1e-4, atol=1e-6)


def test_conv_follows_its_equation():
    policy = make_classifier("conv", 6, 20, num_choices=3)
    filters, biases, *weights = (weight.detach().numpy() for weight in policy.parameters())
    image = torch.rand(1, 1, 20, 20)
    maps = np.zeros((8, 3, 3))
    for f in range(8):
        for i in range(3):
            for j in range(3):
                seen = image[0, 0, 5 * i : 5 * i + 10, 5 * j : 5 * j + 10].numpy()
                maps[f, i, j] = (seen * filters[f, 0]).sum() + biases[f]
    hidden = np.maximum(weights[0] @ np.maximum(maps, 0).reshape(-1) + weights[1], 0)
    expected = weights[2] @ hidden + weights[3]
    np.testing.assert_allclose(policy.network(image).detach()[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("side", "last"), [(28, 7), (60, 7), (100, 12)])
def test_cnn_starts_with_a_stride_of_2_on_large_images(side, last):
    policy, shapes = make_classifier("cnn", 16, side), []
    for layer in policy.network:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _input, output: shapes.append(tuple(output.shape[1:])))
    policy.network(torch.rand(1, 1, side, side))
    first = side if side <= 28 else side // 2
    assert shapes == [(4, first, first), (8, first // 2, first // 2), (16, last, last), (16, last, last)]


@every_network
def test_rows_are_independent(network):
    policy, images = make_classifier(network, 16, SIDE), torch.rand(5, 1, SIDE, SIDE)
    together = policy.network(images)
    for row in range(5):
        torch.testing.assert_close(policy.network(images[row : row + 1])[0], together[row])


# --------------------------------------------------------------------------------------------------- acting


@every_network
def test_acting_is_deterministic_and_looks_at_the_center(network, env_kwargs):
    envs = make_envs(num_envs=6, **env_kwargs)
    policy = make_classifier(network, 16, SIDE, num_choices=2)
    observation, _ = envs.reset(seed=0)
    before = torch.random.get_rng_state()
    results = []
    for seed, sample in ((0, False), (0, True), (7, False)):
        policy.seed(seed)
        results.append(policy.act(observation, policy.initial_state(6), sample=sample))
    assert torch.equal(torch.random.get_rng_state(), before)
    oracles.assert_identical(results[1], results[0])
    oracles.assert_identical(results[2], results[0])
    action, state = results[0]
    assert state is None
    assert envs.action_space.contains(action)
    oracles.assert_identical(action["next_location"], np.zeros((6, 2), np.float32))
    logits = policy.network(torch.from_numpy(observation["glimpse"])).detach().numpy()
    oracles.assert_identical(action["label"], np.array([max(range(2), key=row.__getitem__) for row in logits]))


def test_a_glimpse_that_covers_the_image_equals_the_image(env_kwargs):
    envs = make_envs(num_envs=6, **env_kwargs)
    observation, _ = envs.reset(seed=0)
    expected = np.stack(envs.unwrapped.image)[:, None].astype(np.float32) / 255
    np.testing.assert_allclose(observation["glimpse"], expected, rtol=1e-6)


def test_check_env_refuses_another_env(env_kwargs):
    policy = make_classifier("fc", 16, SIDE, num_choices=2)
    policy.check_env(make_envs(num_envs=2, **env_kwargs))
    for change in (whole_image(8), {"num_classes": 3}):
        with pytest.raises(ValueError, match="the agent was made for glimpses of shape"):
            policy.check_env(make_envs(num_envs=2, **env_kwargs | change))


@pytest.mark.parametrize(("network", "side"), [("conv", 9), ("conv", 4), ("cnn", 3)])
def test_images_too_small_for_a_network_are_refused_at_construction(network, side):
    with pytest.raises(
        ValueError, match=f"network='{network}' needs images of at least .* pixels, got {side} x {side}"
    ):
        make_classifier(network, 16, side)


# ----------------------------------------------------------------------------------------------- checkpoints


@every_network
def test_saved_and_loaded_classifier_is_the_same(network, env_kwargs, tmp_path):
    learner = Supervised(IMAGES, env_kwargs, supervised_config(), ClassifierConfig(network, units=16))
    policy = run_updates(learner, 2).policy
    metadata = CheckpointMetadata(IMAGES, env_kwargs, policy.config, policy.task_spec, {"seed": 3}, "a command")
    metadata = save_agent(tmp_path / "agent", policy, metadata)
    loaded, loaded_metadata = load_agent(tmp_path / "agent", trusted=True)
    assert isinstance(loaded, Classifier)
    assert loaded_metadata == metadata
    assert (loaded.config, loaded.task_spec) == (policy.config, policy.task_spec)
    assert not loaded.training
    assert_same_weights(loaded.state_dict(), policy.state_dict())
    scores = [evaluate(agent, IMAGES, env_kwargs, EvalConditions("test")) for agent in (loaded, policy)]
    oracles.assert_identical(*scores)
    assert isinstance(glimpse_gym.agents.load(tmp_path / "agent"), Classifier)


def test_weights_of_another_network_do_not_fit(tmp_path):
    fc, weights = (make_classifier(network, 16, SIDE, num_choices=2) for network in ("fc", "conv"))
    with pytest.raises(CheckpointError, match=r"does not fit the policy that agent\.json describes"):
        load_weights(fc, weights.state_dict(), tmp_path)
