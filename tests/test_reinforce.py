"""REINFORCE with the hybrid loss: its terms against plain loops, which gradient goes where, and that it learns.

B episodes, T glimpses.
"""

import numpy as np
import pytest
import torch

import oracles
from glimpse_gym.agents import reinforce
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.networks import CORES
from glimpse_gym.agents.ram import RAMOutput
from glimpse_gym.agents.reinforce import Rollout, draw_by_weight
from runs import IMAGES, assert_same_weights, make_reinforce, noise_images, run_updates, square_images

T, B = 4, 6


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def synthetic_rollout(learner):
    """Rollout of random hidden states, which collect gradients."""
    policy = learner.policy
    hidden = torch.rand(T, B, policy.config.hidden_units, requires_grad=True)
    mean = policy.location_network(hidden.detach() if policy.config.detach_location_network else hidden)
    outputs = RAMOutput(hidden, policy.choice_network(hidden), mean)
    labels = torch.arange(B) % policy.task_spec.num_choices
    returns = torch.arange(B).remainder(2).float()
    return Rollout(outputs, mean.detach() + 0.1 * torch.randn_like(mean), labels, returns, returns > 0)


# ------------------------------------------------------------------------------------------------- rollout


def test_rollout_keeps_samples_before_clipping():
    learner = make_reinforce(policy={"sigma": 1.0}, batch_size=64)
    rollout = learner.rollout()
    assert rollout.sampled_locations.abs().max() > 1
    noise = rollout.sampled_locations - rollout.outputs.location_mean.detach()
    assert 0.9 < noise.std() < 1.1
    assert not rollout.sampled_locations.requires_grad


def test_rollout_shapes_and_labels():
    learner = make_reinforce(noise_images(), batch_size=12)
    rollout = learner.rollout()
    assert rollout.outputs.logits.shape == (T, 12, 4)
    assert rollout.sampled_locations.shape == rollout.outputs.location_mean.shape == (T, 12, 2)
    assert rollout.returns.shape == rollout.correct.shape == rollout.labels.shape == (12,)
    assert rollout.correct.tolist() == (rollout.outputs.logits[-1].argmax(-1) == rollout.labels).tolist()
    assert rollout.returns.tolist() == rollout.correct.float().tolist()


def test_returns_sum_all_rewards_of_an_episode():
    learner = make_reinforce(noise_images(glimpse_cost=0.25), batch_size=12)
    rollout = learner.rollout()
    # Every look after the first one costs; the last step takes no glimpse.
    torch.testing.assert_close(rollout.returns, rollout.correct.float() - 0.25 * (T - 1))


def test_copies_share_image_and_first_glimpse():
    learner = make_reinforce(num_episodes=64, batch_size=8, copies_per_image=4)
    seen = []
    learner.policy.glimpse_network.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    learner.update()
    first, second = seen[0].reshape(2, 4, -1), seen[1].reshape(2, 4, -1)
    assert (first == first[:, :1]).all()
    assert not (second == second[:, :1]).all()


# ----------------------------------------------------------------------------------------------------- loss


@pytest.mark.parametrize("loss_weighting", ["uniform", "linear"])
def test_loss_against_plain_loops(loss_weighting):
    learner = make_reinforce(reinforce_weight=0.7, loss_weighting=loss_weighting)
    policy, rollout = learner.policy, synthetic_rollout(learner)
    outputs = rollout.outputs
    probabilities = outputs.logits.softmax(-1)
    cross_entropy = reinforce = squares = 0.0
    weights = [1 if loss_weighting == "uniform" else t + 1 for t in range(T)]
    for b in range(B):
        label = rollout.labels[b]
        for t in range(T):
            cross_entropy -= weights[t] * probabilities[t, b, label].log() / (sum(weights) * B)
        for t in range(T - 1):
            result = sum(probabilities[later, b, label].item() for later in range(t + 1, T)) / (T - 1 - t)
            value = policy.baseline(outputs.hidden[t, b][None])[0]
            difference = rollout.sampled_locations[t, b] - outputs.location_mean[t, b]
            log_prob = -((difference / policy.config.sigma) ** 2).sum() / 2
            reinforce -= (result - value.item()) * log_prob / ((T - 1) * B)
            squares += (value - result) ** 2 / ((T - 1) * B)
    losses = learner.loss(rollout)
    torch.testing.assert_close(losses.classification, cross_entropy)
    torch.testing.assert_close(losses.reinforce, reinforce)
    torch.testing.assert_close(losses.baseline, squares)
    torch.testing.assert_close(losses.total, cross_entropy + 0.7 * reinforce + squares)


def test_loss_weighting_last_uses_the_last_glimpse_and_the_reward():
    learner = make_reinforce(loss_weighting="last")
    rollout = synthetic_rollout(learner)
    losses = learner.loss(rollout)
    expected = torch.nn.functional.cross_entropy(rollout.outputs.logits[-1], rollout.labels)
    torch.testing.assert_close(losses.classification, expected)
    values = learner.policy.baseline(rollout.outputs.hidden[:-1])
    torch.testing.assert_close(losses.baseline, ((values - rollout.returns) ** 2).mean())


def test_advantage_of_a_copy_is_relative_to_the_other_copies():
    learner = make_reinforce(batch_size=B, copies_per_image=3)
    policy, rollout = learner.policy, synthetic_rollout(learner)
    outputs = rollout.outputs
    log_prob = policy.location_log_prob(rollout.sampled_locations[:-1], outputs.location_mean[:-1])
    # The return of a location: the mean probability of the true class after the later glimpses.
    later = outputs.logits.softmax(-1).gather(-1, rollout.labels.expand(T, B)[..., None])[..., 0].detach()
    returns = torch.stack([later[t + 1 :].mean(0) for t in range(T - 1)])
    advantages = returns - policy.baseline(outputs.hidden[:-1]).detach()
    expected = 0.0
    for first in range(0, B, 3):
        for b in range(first, first + 3):
            others = [c for c in range(first, first + 3) if c != b]
            expected -= ((advantages[:, b] - advantages[:, others].mean(-1)) * log_prob[:, b]).sum()
    torch.testing.assert_close(learner.loss(rollout).reinforce, expected / ((T - 1) * B))


def test_one_glimpse_has_no_location_loss():
    learner = make_reinforce(square_images(num_glimpses=1))
    losses = learner.loss(learner.rollout())
    assert (losses.reinforce, losses.baseline) == (0, 0)
    assert torch.equal(losses.total, losses.classification)
    losses.total.backward()


# ------------------------------------------------------------------------------------------------ gradients


def test_every_weight_gets_a_gradient_from_an_episode():
    learner = make_reinforce()
    learner.loss(learner.rollout()).total.backward()
    for name, weight in learner.policy.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_reinforce_loss_trains_the_location_network_and_not_the_choice_network():
    learner = make_reinforce()
    learner.loss(synthetic_rollout(learner)).reinforce.backward()
    assert learner.policy.location_network.mean.weight.grad.abs().sum() > 0
    assert learner.policy.choice_network.logits.weight.grad is None


@pytest.mark.parametrize("detach", [True, False])
def test_detach_location_network_stops_the_reinforce_gradient_into_the_core(detach):
    learner = make_reinforce(policy={"detach_location_network": detach})
    rollout = synthetic_rollout(learner)
    learner.loss(rollout).reinforce.backward()
    grad = rollout.outputs.hidden.grad
    assert (grad is None) is detach
    if not detach:
        assert grad.abs().sum() > 0


def test_baseline_loss_trains_only_the_baseline():
    learner = make_reinforce()
    rollout = synthetic_rollout(learner)
    learner.loss(rollout).baseline.backward()
    assert rollout.outputs.hidden.grad is None
    assert learner.policy.baseline.value.weight.grad.abs().sum() > 0


def rollout_and_losses(batch_size=8, num_scales=2, policy=None, **training):
    learner = make_reinforce(noise_images(num_scales=num_scales), policy, batch_size=batch_size, seed=1, **training)
    rollout = learner.rollout()
    return learner.policy, rollout, learner.loss(rollout)


def location_gradient(term, **changes):
    """Gradient of one term of the loss with respect to the location network's weights, or None."""
    policy, _, losses = rollout_and_losses(**changes)
    getattr(losses, term).backward()
    return policy.location_network.mean.weight.grad


def test_without_pathwise_gradient_only_reinforce_trains_the_location_network():
    assert location_gradient("classification", pathwise_max_norm=0.0) is None
    total = location_gradient("total", pathwise_max_norm=0.0, reinforce_weight=0.3)
    reinforce = location_gradient("reinforce", pathwise_max_norm=0.0, reinforce_weight=0.3)
    assert total.abs().max() > 0
    torch.testing.assert_close(total, 0.3 * reinforce)


def test_pathwise_gradient_is_off_with_a_single_scale():
    assert location_gradient("classification", num_scales=1) is None
    assert location_gradient("classification", num_scales=2) is not None


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("loss_weighting", ["uniform", "linear", "last"])
def test_pathwise_gradient_alone_trains_the_location_network(core, loss_weighting):
    changes = {"policy": {"core": core}, "loss_weighting": loss_weighting}
    total = location_gradient("total", reinforce_weight=0.0, **changes)
    assert total.abs().max() > 0
    torch.testing.assert_close(total, location_gradient("classification", **changes))


def test_pathwise_and_reinforce_gradients_add_up():
    changes = {"pathwise_max_norm": 0.4, "reinforce_weight": 0.5}
    total = location_gradient("total", **changes)
    # The REINFORCE loss of later locations also sends a pathwise gradient through the glimpses to earlier ones.
    sum_of_terms = location_gradient("classification", **changes) + 0.5 * location_gradient("reinforce", **changes)
    torch.testing.assert_close(total, sum_of_terms)
    assert not torch.allclose(total, location_gradient("total", **changes | {"pathwise_max_norm": 0.0}))


def test_pathwise_gradient_does_not_change_episodes_or_losses():
    _, with_gradient, losses = rollout_and_losses(pathwise_max_norm=0.4)
    _, without, other_losses = rollout_and_losses(pathwise_max_norm=0.0)
    torch.testing.assert_close(with_gradient.sampled_locations, without.sampled_locations)
    torch.testing.assert_close(with_gradient.outputs.logits, without.outputs.logits)
    torch.testing.assert_close(losses.total, other_losses.total)


def test_pathwise_units_are_half_the_image_width_and_height():
    images = np.zeros((20, 30, 12), np.uint8)  # 30 rows, 12 columns
    learner = make_reinforce(square_images() | {"images": images, "labels": np.arange(20) % 2})
    assert learner._half_image_size().tolist() == [6.0, 15.0]


def test_random_locations_are_uniform_and_not_trained():
    policy, rollout, losses = rollout_and_losses(600, policy={"location_policy": "random"}, pathwise_max_norm=0.4)
    locations = rollout.sampled_locations
    assert locations.abs().max() <= 1
    cells = ((locations + 1) * 2).long().clamp(max=3).reshape(-1, 2)
    assert abs(oracles.chi_square(np.bincount(4 * cells[:, 0] + cells[:, 1], minlength=16))) < 5
    # Successive locations are independent.
    pairs = (locations > 0).long()[:2].permute(1, 0, 2).reshape(-1, 4) @ torch.tensor([8, 4, 2, 1])
    assert abs(oracles.chi_square(np.bincount(pairs, minlength=16))) < 5
    assert (losses.reinforce, losses.baseline) == (0, 0)
    assert torch.equal(losses.total, losses.classification)
    losses.total.backward()
    assert policy.location_network.mean.weight.grad is None
    assert policy.choice_network.logits.weight.grad.abs().max() > 0


# ------------------------------------------------------------------------------------------------ selection


def test_draw_by_weight_is_proportional_and_without_replacement():
    weights, generator = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.Generator().manual_seed(0)
    ones = torch.cat([draw_by_weight(weights, 1, generator) for _ in range(20_000)])
    frequencies = np.bincount(ones, minlength=4) / len(ones)
    np.testing.assert_allclose(frequencies, [0.1, 0.2, 0.3, 0.4], atol=0.015)
    twos = torch.stack([draw_by_weight(weights, 2, generator) for _ in range(20_000)])
    assert (twos[:, 0] < twos[:, 1]).all()
    # The last two are drawn in either order: 0.3 * 0.4 / 0.7 + 0.4 * 0.3 / 0.6.
    assert ((twos == torch.tensor([2, 3])).all(1).float().mean().item()) == pytest.approx(0.3714, abs=0.015)
    assert draw_by_weight(weights, 4, generator).tolist() == [0, 1, 2, 3]


def recorded_rollouts(learner, monkeypatch):
    """List to which every update adds (seeds, rollout) of each of its rollouts."""
    found, rollout = [], learner.rollout
    monkeypatch.setattr(
        learner, "rollout", lambda seeds: found.append((seeds.tolist(), rollout(seeds))) or found[-1][1]
    )
    return found


def test_batches_are_chosen_among_candidates_from_a_part_of_the_run_on(monkeypatch):
    learner = make_reinforce(
        noise_images(), num_episodes=60, batch_size=12, candidates_per_episode=3, selection_start=0.4, seed=0
    )
    found = recorded_rollouts(learner, monkeypatch)
    for _ in range(2):
        learner.update()
    assert [seeds for seeds, _ in found] == [[*range(12)], [*range(36, 48)]]
    assert learner.num_episodes_played == learner.num_episodes_done == 24
    found.clear()
    _, error = learner.update()
    *candidates, (chosen, rollout) = found
    assert [seeds for seeds, _ in candidates] == [[*range(n, n + 12)] for n in (72, 84, 96)]
    assert not any(each.outputs.logits.requires_grad for _, each in candidates)
    assert rollout.outputs.logits.requires_grad
    assert len({*chosen}) == 12
    assert {*chosen} <= {*range(72, 108)}
    correct = torch.cat([each.correct for _, each in candidates]).float().mean().item()
    assert error == pytest.approx(1 - correct)
    assert learner.num_episodes_done == 36
    assert learner.num_episodes_played == 24 + 48
    assert learner.num_steps_done == T * (24 + 48)


def test_difficult_episodes_are_chosen_more_often(monkeypatch):
    learner = make_reinforce(
        noise_images(), num_episodes=60, batch_size=12, candidates_per_episode=4, selection_start=0.0
    )
    weights = []
    monkeypatch.setattr(
        reinforce, "draw_by_weight", lambda w, number, _: weights.append(w) or w.topk(number).indices.sort().values
    )
    found = recorded_rollouts(learner, monkeypatch)
    learner.update()
    *candidates, (chosen, _) = found
    labels = torch.cat([each.labels for _, each in candidates])
    logits = torch.cat([each.outputs.logits for _, each in candidates], dim=1)
    probabilities = logits.softmax(-1).gather(-1, labels.expand(T, -1)[..., None])[..., 0]
    torch.testing.assert_close(weights[0], -probabilities[T // 2 :].log().mean(0) + 1e-4)
    seeds = [seed for seeds, _ in candidates for seed in seeds]
    assert chosen == sorted(seeds[i] for i in weights[0].topk(12).indices)


def test_weights_cast_without_gradients_are_not_used_with_gradients(monkeypatch):
    learner = make_reinforce(
        noise_images(), batch_size=12, candidates_per_episode=2, selection_start=0.0, precision="bfloat16"
    )
    found = []

    def draw(weights, number, generator):
        found.append((weights.dtype, torch.is_autocast_enabled("cpu")))
        return draw_by_weight(weights, number, generator)

    monkeypatch.setattr(reinforce, "draw_by_weight", draw)
    learner.update()
    assert found == [(torch.float32, False)]  # the end of autocast empties its cache of cast weights
    assert all(weight.grad.abs().max() > 0 for weight in learner.policy.parameters())


def test_selection_is_bit_equal_with_the_same_seed():
    def weights():
        changes = {"num_episodes": 320, "candidates_per_episode": 2, "selection_start": 0.5}
        return run_updates(make_reinforce(batch_size=16, **changes), 20).policy.state_dict()

    assert_same_weights(weights(), weights())


# ------------------------------------------------------------------------------------------------- learning


def test_update_returns_the_losses_and_the_training_error(monkeypatch):
    learner = make_reinforce(noise_images(), batch_size=12)
    rollouts, rollout = [], learner.rollout
    monkeypatch.setattr(learner, "rollout", lambda seeds: rollouts.append(rollout(seeds)) or rollouts[-1])
    losses, error = learner.update()
    assert error == pytest.approx(1 - rollouts[0].correct.float().mean().item())
    assert losses.keys() == {"total", "classification", "reinforce", "baseline"}
    expected = losses["classification"] + losses["reinforce"] + losses["baseline"]
    assert losses["total"] == pytest.approx(expected, rel=1e-5)


def test_same_seed_is_bit_equal_and_another_seed_is_not():
    def weights(seed):
        learner = make_reinforce(seed=seed, batch_size=16, copies_per_image=2)
        return run_updates(learner, 20).policy.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert_same_weights(first, again)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_learns_a_toy_task_by_looking():
    training = {"seed": 0, "num_episodes": 30_000, "batch_size": 100, "learning_rate": 5e-3, "warmup_updates": 20}
    sizes = {"glimpse_units": 16, "location_units": 64, "glimpse_features": 32, "hidden_units": 32}
    learner = run_updates(make_reinforce(policy=sizes, **training))

    def last_error(locations):
        return evaluate(learner.policy, IMAGES, square_images(), EvalConditions("test", locations)).errors[-1]

    assert last_error("learned") < 0.06
    assert last_error("center") > 0.2
