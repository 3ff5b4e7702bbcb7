"""Training in several processes: the same result as in one, stops, kills, errors."""

import os
import re
import signal
import time
from dataclasses import replace
from datetime import timedelta

import pytest
import torch

from cli_runs import RUN_FILES, assert_equal_runs, read_log, send_signals_at
from glimpse_gym.agents import parallel as parallel_module
from glimpse_gym.agents.checkpoint import CheckpointError, load_agent
from glimpse_gym.agents.configs import ClassifierConfig, PPOConfig, RAMConfig, ReinforceConfig, SupervisedConfig
from glimpse_gym.agents.launcher import ProcessInfo, process_info
from glimpse_gym.agents.parallel import Parallel, PeerLostError, choose_owners, joined
from glimpse_gym.agents.registry import make_learner
from glimpse_gym.agents.run_state import load_state
from glimpse_gym.agents.trainer import Trainer
from glimpse_gym.agents.training_loop import train_along
from process_groups import run_command, run_in_processes, started_run
from runs import CATCH, IMAGES, assert_same_weights, copy_state, noise_file, noise_images, stop_after

RAM = RAMConfig(glimpse_units=8, location_units=8, glimpse_features=32, hidden_units=32)  # Muon has several matrices
CONFIG = ReinforceConfig(num_episodes=160, batch_size=16, num_evaluations=2, validation_episodes=20, warmup_updates=2)
TORCHRUN = {"RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "node0", "MASTER_PORT": "29500"}


@pytest.fixture(autouse=True, scope="module")
def _compiled():
    """Compiles the kernels in this process, for all that are forked from it."""
    make_learner(IMAGES, noise_images(), CONFIG, RAM).update()


@pytest.fixture(autouse=True)
def _no_curve(monkeypatch):
    """Without the plot, which takes longer than a tiny training."""
    monkeypatch.setattr(Trainer, "_save_curve", lambda trainer: None)


# ---------------------------------------------------------------------------------- what the processes exchange


def exchange(parallel):
    weights = [torch.zeros(2, 3), torch.zeros(4), torch.ones(1)]
    for weight in weights[:2]:
        weight.grad = torch.full(weight.shape, float(parallel.rank))
    means = parallel.average(weights, {"rank": torch.tensor(float(parallel.rank)), "one": torch.tensor(1.0)})
    gradients = [weight.grad for weight in weights]
    owned = [torch.full((2,), float(parallel.rank)), torch.full((1, 3), 10.0 + parallel.rank)]
    parallel.share(owned, [1, 0])
    return {
        "gradients": gradients,
        "means": means,
        "owned": owned,
        "any": parallel.any(False, parallel.rank == 1),
        "broadcast": parallel.broadcast({"rank": parallel.rank}),
        "gathered": parallel.gather(parallel.rank),
        "rows": parallel.own_rows(8),
    }


def test_exchanges_of_two_processes(tmp_path):
    results = run_in_processes(2, tmp_path / "group", exchange)
    for rank, result in enumerate(results):
        assert torch.equal(result["gradients"][0], torch.full((2, 3), 0.5))
        assert torch.equal(result["gradients"][1], torch.full((4,), 0.5))
        assert result["gradients"][2] is None
        assert result["means"] == {"rank": 0.5, "one": 1.0}
        assert torch.equal(result["owned"][0], torch.ones(2))
        assert torch.equal(result["owned"][1], torch.full((1, 3), 10.0))
        assert result["any"] == (False, True)
        assert result["broadcast"] == {"rank": 0}
        assert result["gathered"] == ([0, 1] if rank == 0 else [])
        assert result["rows"] == slice(4 * rank, 4 * rank + 4)


def test_a_process_samples_its_rows_of_the_whole_batch():
    def sampler(parameters):
        return parameters + torch.randn(parameters.shape, generator=torch.Generator().manual_seed(0))

    whole = torch.arange(12.0).view(6, 2)
    expected = Parallel().sample(sampler, whole)
    for rank in range(3):
        part = Parallel()
        part.rank, part.world_size = rank, 3
        rows = part.own_rows(6)
        assert torch.equal(part.sample(sampler, whole[rows]), expected[rows])


def test_owners_have_about_as_much_to_do():
    costs = [4, 1, 1, 4, 3, 3]
    assert choose_owners(costs, 1) == [0] * 6
    owners = choose_owners(costs, 2)
    assert [sum(cost for cost, of in zip(costs, owners, strict=True) if of == owner) for owner in (0, 1)] == [8, 8]
    assert sorted(choose_owners([1, 1], 4)) == [0, 1]


def test_all_processes_fail_if_one_fails(tmp_path):
    def fail(parallel):
        with parallel.failing_together():
            if parallel.rank:
                raise OSError("no data here")

    first, second = run_in_processes(2, tmp_path / "group", fail)
    assert type(first) is PeerLostError
    assert str(first) == "process 1 of 2 has failed, and printed why"
    assert (type(second), str(second)) == (OSError, "no data here")


def test_the_loss_of_a_process_is_noticed(tmp_path):
    first, second = run_in_processes(2, tmp_path / "group", lambda parallel: parallel.rank or parallel.any(True))
    assert type(first) is PeerLostError
    assert str(first).startswith("process 0 of 2 has lost the others")
    assert second == 1


def test_a_process_that_does_not_answer_counts_as_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel_module, "_TIMEOUT", timedelta(seconds=1))

    def hang(parallel):
        if parallel.rank:
            time.sleep(4)
        return parallel.any(True)

    first, _ = run_in_processes(2, tmp_path / "group", hang)
    assert type(first) is PeerLostError
    assert "process 0 of 2 has lost the others" in str(first)


# -------------------------------------------------------------------------------- same result as one process

CASES = {
    "reinforce": (noise_images(), CONFIG, RAM),
    "copies": (noise_images(), replace(CONFIG, copies_per_image=4, loss_weighting="last"), RAM),
    "candidates": (noise_images(), replace(CONFIG, candidates_per_episode=3, selection_start=0.25), RAM),
    "random-locations": (noise_images(), replace(CONFIG, optimizer="adam"), replace(RAM, location_policy="random")),
    "rule": (noise_images(), CONFIG, replace(RAM, location_policy="raster")),
    "supervised": (
        noise_images(patch_size=16, num_scales=1, num_glimpses=1, first_glimpse="center"),
        SupervisedConfig(num_episodes=160, batch_size=16, warmup_updates=2),
        ClassifierConfig(units=32),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_learns(tmp_path, case):
    env_kwargs, config, policy_config = CASES[case]

    def learn(parallel):
        learner = make_learner(IMAGES, env_kwargs, config, policy_config, parallel)
        results, seeds = [], []
        for _ in range(4):
            seeds.append(learner._episode_seeds(getattr(config, "copies_per_image", 1)).tolist())
            results.append(learner.update())
        return copy_state(learner.policy), results, seeds, learner.num_steps_done, learner.policy.generator.get_state()

    (one,) = run_in_processes(1, tmp_path / "one", learn)
    first, second = run_in_processes(2, tmp_path / "two", learn)
    assert_same_weights(first[0], second[0])
    assert [a + b for a, b in zip(first[2], second[2], strict=True)] == one[2]
    assert first[3] == second[3] == one[3]
    assert torch.equal(first[4], one[4])
    assert first[1] == second[1]
    start = make_learner(IMAGES, env_kwargs, config, policy_config).policy.state_dict()
    for name, weight in one[0].items():
        torch.testing.assert_close(first[0][name], weight, rtol=0, atol=1e-5)
    assert max(float((weight - start[name]).abs().max()) for name, weight in one[0].items()) > 1e-3
    for (losses, error), (wanted_losses, wanted_error) in zip(first[1], one[1], strict=True):
        assert losses == pytest.approx(wanted_losses, abs=1e-5)
        assert error == pytest.approx(wanted_error, abs=1e-6)


# ----------------------------------------------------------------------------------------------- whole runs


@pytest.fixture
def train(tmp_path):
    """Trains in processes: ``train(name, number)`` returns what `Trainer.train` returns in each, or an error."""
    env_kwargs, number_of_groups = noise_file(tmp_path), iter(range(100))

    def make(name, number, resume=False, stop=None, config=CONFIG, config_of_others=None):
        def run(parallel):
            if parallel.rank:
                return train_along(parallel, IMAGES, env_kwargs, config_of_others or config, RAM)
            trainer = Trainer(tmp_path / name, IMAGES, env_kwargs, config, RAM, resume, parallel=parallel)
            if stop:
                stop_after(trainer, stop)
            return trainer.train(progress=False)

        return run_in_processes(number, tmp_path / f"group{next(number_of_groups)}", run)

    return make


def test_a_resumed_run_is_bit_equal_to_one_that_was_not_stopped(train, tmp_path):
    assert train("whole", 2) == [True, True]
    assert {path.name for path in (tmp_path / "whole").iterdir()} == RUN_FILES - {"curve.png"}
    assert train("stopped", 2, stop=3) == [False, False]
    assert train("stopped", 2, resume=True) == [True, True]
    assert_equal_runs(tmp_path / "stopped", tmp_path / "whole")


def test_a_finished_run_resumes_with_nothing_to_do(train, tmp_path):
    assert train("whole", 2) == [True, True]
    before = (tmp_path / "whole" / "training.pt").read_bytes()
    for number in (1, 2, 4):
        assert train("whole", number, resume=True) == [True] * number
    assert (tmp_path / "whole" / "training.pt").read_bytes() == before


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 4)])
def test_a_run_goes_on_with_another_number_of_processes(train, tmp_path, before, after):
    assert all(train("whole", 1))
    assert not any(train("changed", before, stop=3))
    assert all(train("changed", after, resume=True))
    states = [load_state(tmp_path / name, 2**30) for name in ("changed", "whole")]
    assert states[0].keys() == states[1].keys()
    assert torch.equal(*(state["generator"] for state in states))
    assert [state["num_updates_done"] for state in states] == [10, 10]
    for ours, expected in zip(*(state["optimizers"] for state in states), strict=True):
        assert ours["state"].keys() == expected["state"].keys()
        for index, entries in expected["state"].items():
            for name, value in entries.items():
                torch.testing.assert_close(ours["state"][index][name], value, rtol=0, atol=1e-4)
    weights = [load_agent(tmp_path / name, trusted=True)[0].state_dict() for name in ("changed", "whole")]
    for name, value in weights[1].items():
        torch.testing.assert_close(weights[0][name], value, rtol=0, atol=1e-4)


def test_processes_with_other_settings_are_refused(train, tmp_path):
    other = replace(CONFIG, seed=1)
    results = train("run", 2, config=CONFIG, config_of_others=other)
    assert type(results[0]) is PeerLostError
    assert type(results[1]) is ValueError
    assert str(results[1]) == (
        "process 1 has seed = 1 (0 in process 0): start all processes of a run with the same command"
    )
    assert not (tmp_path / "run").exists()


def test_an_error_of_the_trainer_ends_the_others(train, tmp_path):
    assert all(train("run", 1))
    first, second = train("run", 2)
    assert type(first) is CheckpointError
    assert "holds a run already" in str(first)
    assert (type(second), str(second)) == (PeerLostError, "process 0 of 2 has failed, and printed why")


# ----------------------------------------------------------------------------------------------- command line


@pytest.fixture
def arguments(train_arguments, tmp_path):
    return [*train_arguments(tmp_path / "run"), "--save-interval=0"]


def test_a_killed_process_ends_the_others_and_the_run_resumes(arguments, tmp_path, train_arguments):
    folder = tmp_path / "run"
    with started_run(tmp_path / "ids", arguments) as run:
        run.wait_for(folder / "log.csv")
        os.kill(run.process_id(1), signal.SIGKILL)
        status, err = run.wait()
        assert run.has_ended(0)
    assert status == 1
    assert err == (
        f"glimpse-gym train: process 1 of 2 (process id {run.process_id(1)}) was ended by SIGKILL, and the others have "
        "ended with it; the same command with --resume resumes from the state that was saved last"
    )
    assert 1 <= len(read_log(folder)) < 4
    assert run_command(2, tmp_path / "again", [*arguments, "--resume"]) == [0, 0]
    assert run_command(2, tmp_path / "undisturbed", train_arguments(tmp_path / "whole")) == [0, 0]
    assert_equal_runs(folder, tmp_path / "whole")


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("number", [1, 7])
def test_a_stop_request_to_one_process_stops_all_after_the_same_update(arguments, tmp_path, monkeypatch, which, number):
    def prepare(rank):
        if rank:
            send_signals_at(monkeypatch, number, which)

    assert run_command(2, tmp_path / "group", arguments, prepare) == [130, 130]
    assert load_state(tmp_path / "run", 2**30)["num_updates_done"] == number


def test_processes_end_with_their_launcher(arguments, tmp_path):
    with started_run(tmp_path / "ids", arguments) as run:
        run.wait_for(tmp_path / "run" / "log.csv")
        run.launcher.kill()
        assert run.has_ended(0)
        assert run.has_ended(1)
    state = load_state(tmp_path / "run", 2**30)
    assert 0 < state["num_updates_done"] < 20


def test_an_error_in_one_process_is_shown_once(arguments, tmp_path):
    with started_run(tmp_path / "ids", arguments, FAIL="1") as run:
        assert run.wait() == (1, "glimpse-gym train: this update cannot be done")


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--processes=0"], "the number of processes must be at least 1, got 0"),
        (["--processes=-2"], "the number of processes must be at least 1, got -2"),
        (
            ["--processes=21"],
            "a batch of 20 episodes cannot be divided among 21 processes: use another number, such as",
        ),
        (
            ["--processes=3"],
            "a batch of 20 episodes cannot be divided among 3 processes: use another number, such as 2",
        ),
        (
            ["--processes=4", "--copies-per-image=10"],
            "a batch of 2 images with 10 copies each cannot be divided among 4 processes: use another number",
        ),
    ],
)
def test_numbers_of_processes_that_are_refused(cli, arguments, tmp_path, options, message):
    result = cli(*arguments, *options)
    assert result.status == 1
    assert message in result.message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("missing", TORCHRUN)
def test_an_incomplete_environment_is_refused(cli, arguments, tmp_path, monkeypatch, missing):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    result = cli(*arguments)
    assert result.status == 1
    assert f"but not {missing}: start the processes of a run with torchrun" in result.message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RANK": "one"}, "RANK must be an integer, got 'one'"),
        ({"RANK": "4"}, "got RANK=4, LOCAL_RANK=0, WORLD_SIZE=4"),
        ({"LOCAL_RANK": "-1"}, "got RANK=1, LOCAL_RANK=-1, WORLD_SIZE=4"),
        ({"WORLD_SIZE": "0"}, "got RANK=1, LOCAL_RANK=0, WORLD_SIZE=0"),
    ],
)
def test_environments_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        process_info(TORCHRUN | changes)


def test_places_of_processes():
    assert process_info({}) is None
    assert process_info({"MASTER_ADDR": "node0", "MASTER_PORT": "29500"}) is None
    assert process_info(TORCHRUN) == ProcessInfo(1, 0, 4, "env://")
    ours = {
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "2",
        "GLIMPSE_GYM_LAUNCHER": "77",
        "GLIMPSE_GYM_STORE": "/x/y",
    }
    assert process_info(ours) == ProcessInfo(1, 1, 2, "file:///x/y", 77)


def test_processes_must_be_as_many_as_torchrun_has_started(cli, arguments, monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert "torchrun has started 4 processes, and --processes asks for 2" in cli(*arguments, "--processes=2").message


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:1", "several processes train on device 'cpu' or 'cuda', each on a GPU of its own, got 'cuda:1'"),
        ("mps", "several processes train on device 'cpu' or 'cuda', each on a GPU of its own, got 'mps'"),
        ("cuda", "process 70 of 99 is number 70 on its machine, which has "),
    ],
)
def test_devices_that_several_processes_cannot_use(device, message):
    with (
        pytest.raises(ValueError, match=re.escape(message)),
        joined(ProcessInfo(70, 70, 99, "file:///nowhere"), device),
    ):
        pass


@pytest.mark.parametrize(
    ("env_id", "config", "policy_config", "message"),
    [
        (CATCH, PPOConfig(), RAMConfig(), "PPO trains in one process only, got 2"),
        (
            IMAGES,
            SupervisedConfig(),
            ClassifierConfig(network="cnn", units=4),
            "batch normalization averages over the episodes of one process only",
        ),
    ],
)
def test_algorithms_and_networks_that_cannot_divide_a_batch(env_id, config, policy_config, message):
    parallel = Parallel()
    parallel.world_size = 2
    env_kwargs = {} if env_id == CATCH else noise_images(patch_size=16, num_scales=1, num_glimpses=1)
    with pytest.raises(ValueError, match=message):
        make_learner(env_id, env_kwargs, config, policy_config, parallel)
