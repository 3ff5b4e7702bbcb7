"""The recurrent policy for discrete actions: masks, samples, log-probabilities and decisions, against plain loops.

B episodes of at most T steps, K labels or moves, n actions.
"""

import numpy as np
import pytest
import torch

import oracles
from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.checkpoint import CheckpointMetadata, load_agent, save_agent
from glimpse_gym.agents.configs import DiscreteRAMConfig, RAMConfig
from glimpse_gym.agents.discrete_ram import DiscreteRAM
from glimpse_gym.agents.networks import CORES
from glimpse_gym.agents.ram import RAM
from glimpse_gym.agents.recurrent import to_tensors
from runs import CATCH, IMAGES, SMALL_RAM, assert_same_weights, make_envs, noise_images

T, B = 4, 6
TASKS = {
    "classification": (IMAGES, noise_images(num_glimpses=T, actions="discrete", grid_size=3)),
    "catch": (CATCH, {"actions": "discrete", "grid_size": 2, "num_glimpses": T, "patch_size": 3, "num_scales": 2}),
}
each_task = pytest.mark.parametrize("task", TASKS)


def make_vector_env(task, num_envs=B):
    env_id, kwargs = TASKS[task]
    return make_envs(env_id, num_envs, **kwargs)


def make_policy(task, **config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DiscreteRAM(TaskSpec.from_env(make_vector_env(task)), DiscreteRAMConfig(**SMALL_RAM | config)).eval()


def force_action(policy, scores):
    """Give cells and choices these scores, whatever is seen."""
    with torch.no_grad():
        policy.action_network.logits.weight.zero_()
        policy.action_network.logits.bias.copy_(torch.as_tensor(scores, dtype=torch.float32) - policy.initial_scores)


@each_task
@pytest.mark.parametrize("num_glimpses", [1, 2, 7, 23])
def test_masks_equal_those_of_the_env_at_every_step(task, num_glimpses):
    env_id, kwargs = TASKS[task]
    envs = make_envs(env_id, 3, **kwargs | {"num_glimpses": num_glimpses})
    policy = DiscreteRAM(TaskSpec.from_env(envs), DiscreteRAMConfig(**SMALL_RAM))
    observation, _ = envs.reset(seed=0)
    for _ in range(num_glimpses):
        mask = policy.action_mask(to_tensors(observation, policy.device))
        expected = envs.unwrapped.action_masks()
        if mask is None:
            assert expected.all()
        else:
            oracles.assert_identical(mask.numpy(), expected)
        observation, *_ = envs.step(np.zeros(3, np.int64))  # a look


def test_the_last_step_takes_answers_only():
    policy = make_policy("classification")
    force_action(policy, [5.0] * 9 + [0.0, 1.0, 0.0, 0.0])  # rather look
    envs = make_vector_env("classification")
    observation, _ = envs.reset(seed=0)
    state = policy.initial_state(B)
    for t in range(T):
        action, state = policy.act(observation, state, sample=True)
        assert action.dtype == np.int64
        assert ((action >= 9) == (t == T - 1)).all() or t < T - 1
        action, _ = policy.act(observation, state)
        assert action.tolist() == ([0] * B if t < T - 1 else [10] * B)
        observation, _, terminated, *_ = envs.step(action)
    assert terminated.all()


@each_task
def test_samples_follow_the_probabilities(task):
    policy = make_policy(task)
    spec = policy.task_spec
    cells, choices = np.arange(1.0, spec.num_cells + 1), np.arange(2.0, spec.num_choices + 2)
    force_action(policy, np.log([*cells, *choices]))
    weights = np.array([*cells, *choices] if spec.choice_is_final else [m * c for m in choices for c in cells])
    expected = weights / weights.sum()
    observation, _ = make_vector_env(task, 4000).reset(seed=0)
    action, _ = policy.act(observation, policy.initial_state(4000), sample=True)
    for number, probability in enumerate(expected):
        oracles.assert_binomial(int((action == number).sum()), 4000, probability)


@each_task
@pytest.mark.parametrize("initial_sigma", [0.3, 1.0])
def test_policy_before_training_looks_around_the_center_and_seldom_answers(task, initial_sigma):
    policy = make_policy(task, initial_sigma=initial_sigma, initial_answer_prob=0.3)
    with torch.no_grad():
        policy.action_network.logits.weight.zero_()
        policy.action_network.logits.bias.zero_()
    spec = policy.task_spec
    side = {4: 2, 9: 3}[spec.num_cells]
    weights = []
    for row in range(side):
        for column in range(side):
            x, y = (2 * column + 1) / side - 1, (2 * row + 1) / side - 1
            weights.append(np.exp(-(x * x + y * y) / (2 * initial_sigma**2)))
    probs = outputs_at(policy, task, is_last=False).logits[0].softmax(-1).detach().numpy()
    if spec.choice_is_final:
        np.testing.assert_allclose(probs[9:], 0.3 / 4, rtol=1e-4)
        looks = probs[:9]
    else:
        np.testing.assert_allclose(probs.reshape(3, 4).sum(1), 1 / 3, rtol=1e-4)
        looks = probs.reshape(3, 4).sum(0)
    np.testing.assert_allclose(looks / looks.sum(), np.array(weights) / sum(weights), rtol=1e-3)


def outputs_at(policy, task, is_last):
    """Output for B observations that are, or are not, the last before the end."""
    envs = make_vector_env(task)
    observation, _ = envs.reset(seed=1)
    for _ in range(T - 1 if is_last else 0):
        observation, *_ = envs.step(np.zeros(B, np.int64))
    seen = to_tensors(observation, policy.device)
    output, _ = policy(seen["glimpse"], seen["location"], None, policy.action_mask(seen))
    return output


@each_task
@pytest.mark.parametrize("is_last", [False, True])
def test_log_prob_and_entropy_against_plain_loops(task, is_last):
    policy = make_policy(task)
    spec = policy.task_spec
    output = outputs_at(policy, task, is_last)
    scores = (policy.action_network(output.hidden) + policy.initial_scores).detach().double().numpy()
    if spec.choice_is_final:
        logits = scores
    else:  # the action is move * cells + cell
        logits = np.array([[row[4 + a // 4] + row[a % 4] for a in range(spec.num_actions)] for row in scores])
    first = spec.num_cells if is_last and spec.choice_is_final else 0  # the first valid action
    actions = torch.arange(first, first + 4).repeat(2)[:B]
    log_prob = policy.log_prob(output, (actions,), torch.full((B,), is_last))
    entropies = []
    for b in range(B):
        exponentials = {a: np.exp(logits[b, a]) for a in range(first, spec.num_actions)}
        probs = {a: value / sum(exponentials.values()) for a, value in exponentials.items()}
        assert log_prob[b].item() == pytest.approx(np.log(probs[int(actions[b])]), rel=1e-4)
        entropies.append(-sum(p * np.log(p) for p in probs.values()))
    entropy = policy.entropy(output, torch.full((B,), is_last))
    assert entropy.item() == pytest.approx(np.mean(entropies), rel=1e-4)


def test_masked_actions_get_no_probability_and_no_gradient():
    policy = make_policy("classification")
    output = outputs_at(policy, "classification", is_last=True)
    probs = output.logits.softmax(-1)
    assert (probs[:, :9] == 0).all()
    torch.testing.assert_close(probs[:, 9:].sum(-1), torch.ones(B))
    log_prob = policy.log_prob(output, (torch.full((B,), 10),), torch.ones(B, dtype=torch.bool))
    (log_prob.sum() + policy.entropy(output, torch.ones(B, dtype=torch.bool))).backward()
    gradient = policy.action_network.logits.bias.grad
    assert not gradient[:9].any()
    assert gradient[9:].all()


@each_task
def test_choice_probs_sum_over_the_looks(task):
    policy = make_policy(task)
    observation, _ = make_vector_env(task).reset(seed=0)
    decision = policy.decide(observation, policy.initial_state(B))
    logits = outputs_at(policy, task, is_last=False).logits
    observation, _ = make_vector_env(task).reset(seed=1)
    found = policy.decide(observation, policy.initial_state(B)).choice_probs
    probs = logits.softmax(-1).detach().numpy()
    if task == "catch":
        expected = np.stack([probs[:, 4 * move : 4 * move + 4].sum(1) for move in range(3)], axis=1)
    else:
        expected = probs[:, 9:] / probs[:, 9:].sum(1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert decision.location_mean is None


@pytest.mark.parametrize("core", CORES)
def test_unroll_of_episodes_of_different_lengths_equals_forward(core):
    policy = make_policy("classification", core=core, scale_gain=2.0)
    lengths = [4, 3, 3, 1]
    batch_sizes = [4, 3, 3, 1]  # how many episodes have a step 1, 2, 3, 4
    generator = torch.Generator().manual_seed(0)
    glimpses = torch.rand(4, 4, 2, 4, 4, generator=generator)  # (T, B, ...)
    locations = torch.rand(4, 4, 2, generator=generator)
    masks = torch.rand(4, 4, 13, generator=generator) < 0.7
    packed = [
        torch.cat([part[t, :number] for t, number in enumerate(batch_sizes)]) for part in (glimpses, locations, masks)
    ]
    outputs = policy.unroll(packed[0], packed[1], batch_sizes, packed[2])
    for b, length in enumerate(lengths):
        state = None
        for t in range(length):
            output, state = policy(glimpses[t, b : b + 1], locations[t, b : b + 1], state, masks[t, b : b + 1])
            row = sum(batch_sizes[:t]) + b
            for found, expected in zip(outputs, output, strict=True):
                torch.testing.assert_close(found[row], expected[0])


def test_state_is_reset_where_an_episode_begins():
    policy = make_policy("catch")
    observation, _ = make_vector_env("catch").reset(seed=0)
    new = policy.decide(observation, policy.initial_state(B))
    old = policy.decide(observation, torch.ones_like(policy.initial_state(B)))
    assert torch.equal(new.state, old.state)
    assert (new.action == old.action).all()


def test_policies_and_action_forms_must_agree():
    discrete = TaskSpec.from_env(make_vector_env("classification"))
    hybrid = TaskSpec.from_env(make_envs(**noise_images()))
    with pytest.raises(ValueError, match="a RAM acts in envs with hybrid actions, got an env with discrete actions"):
        RAM(discrete, RAMConfig(**SMALL_RAM))
    with pytest.raises(ValueError, match="a DiscreteRAM acts in envs with discrete actions, got an env with hybrid"):
        DiscreteRAM(hybrid, DiscreteRAMConfig(**SMALL_RAM))


@each_task
def test_checkpoint(task, tmp_path):
    policy = make_policy(task)
    save_agent(tmp_path, policy, CheckpointMetadata(TASKS[task][0], {}, policy.config, policy.task_spec))
    loaded, metadata = load_agent(tmp_path)
    assert (loaded.config, metadata.task_spec) == (policy.config, policy.task_spec)
    assert_same_weights(loaded.state_dict(), policy.state_dict())
    loaded.check_env(make_vector_env(task))
    observation, _ = make_vector_env(task).reset(seed=0)
    actions = [agent.act(observation, agent.initial_state(B))[0] for agent in (policy, loaded)]
    oracles.assert_identical(*actions)
