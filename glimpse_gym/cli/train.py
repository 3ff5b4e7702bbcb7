"""Subcommand ``train``: options generated from the configurations of algorithm and policy, and the run itself."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, NoReturn, TypeVar

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg

from glimpse_gym.agents.configs import TrainConfig
from glimpse_gym.agents.launcher import PEER_LOST, launch, process_info
from glimpse_gym.agents.registry import ALGORITHMS, algorithm_name, default_configs
from glimpse_gym.cli.commands import INTERRUPTED
from glimpse_gym.extras import require_extra
from glimpse_gym.registration import ENV_IDS

if TYPE_CHECKING:
    from glimpse_gym.agents.parallel import Parallel

_PROGRAM = "glimpse-gym train"
_DESCRIPTION = "Train an agent in an env. The options are those of one algorithm and of the policy that it trains."
_DEFAULT_OUT = "(default: runs/ENV-seedSEED)"
_ALGORITHM = arg(
    metavar="{" + ",".join(ALGORITHMS) + "}",
    help="Learning algorithm. Each has its own options; --algorithm NAME --help shows them.",
)
_EnvArgs = UseAppendAction[tuple[Annotated[str, arg(metavar="NAME=VALUE")], ...]]
_TrainConfigT = TypeVar("_TrainConfigT", bound=TrainConfig)
_PolicyConfigT = TypeVar("_PolicyConfigT")


@dataclass(frozen=True)
class TrainArguments(Generic[_TrainConfigT, _PolicyConfigT]):
    """Options of ``glimpse-gym train``: those of all runs, of one algorithm, and of the policy that it trains."""

    env: Positional[Annotated[str, arg(metavar="ENV")]]
    """Id of an env with hybrid actions, such as glimpse_gym/MNIST-v0; 'glimpse-gym envs' lists them."""
    algorithm: Annotated[str, _ALGORITHM]
    training: OmitArgPrefixes[_TrainConfigT]
    policy: OmitArgPrefixes[_PolicyConfigT]
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=_DEFAULT_OUT)] = None
    """Folder of the run."""
    resume: FlagCreatePairsOff[bool] = False
    """Resume the run in that folder; start a new one if there is none."""
    processes: int = 1
    """Processes that share the work, best one for each idle core; the number must divide batch_size.
    For processes on several machines, start the command with torchrun instead."""
    env_arg: Annotated[_EnvArgs, arg(metavar="NAME=VALUE")] = ()
    """Keyword argument of the env, such as num_glimpses=6 or images=FOLDER. VALUE is JSON, or else a plain string."""
    augment: Annotated[_EnvArgs, arg(metavar="NAME=VALUE")] = ()
    """Keyword argument of the env during training only, not in evaluation, such as rotation=[-10,10]."""


def parse_train_arguments(arguments: Sequence[str]) -> TrainArguments[Any, Any]:
    """Parse the command line after ``train``.

    Raises:
        SystemExit: status 2 if an argument is not accepted, with a message on stderr; status 0 after ``--help``.
    """
    env_id, algorithm = _find_env_and_algorithm(arguments)
    wants_help = "--help" in arguments or "-h" in arguments
    if env_id is None and not wants_help:
        _exit(f"name an env to train in: {', '.join(ENV_IDS)}")
    if algorithm is not None and algorithm not in ALGORITHMS:
        _exit(f"--algorithm must be one of {', '.join(ALGORITHMS)}; got {algorithm!r}")
    train_config, policy_config = default_configs(env_id or ENV_IDS[0], algorithm)
    algorithm = algorithm_name(train_config)
    arguments_class: Any = TrainArguments
    return tyro.cli(
        arguments_class[type(train_config), type(policy_config)],
        prog=f"{_PROGRAM} --algorithm {algorithm}",
        description=_DESCRIPTION,
        args=arguments,
        default=TrainArguments(tyro.MISSING, algorithm, train_config, policy_config),
    )


def train_agent(arguments: TrainArguments[Any, Any], command_line: str) -> int | None:
    """Train, or resume training, in the folder of the run.

    Args:
        arguments: the parsed command line.
        command_line: recorded in the agent's metadata.

    Returns:
        Exit status, None for success.

    Raises:
        ValueError: if the number of processes is not accepted.
    """
    require_extra("agents")
    info = process_info()
    arguments.training.check_processes(arguments.processes)
    env_kwargs, augmentation = parse_assignments(arguments.env_arg), parse_assignments(arguments.augment)
    if info is None and arguments.processes > 1:
        return launch(shlex.split(command_line)[1:], arguments.processes)
    if info and arguments.processes not in (1, info.world_size):
        raise ValueError(
            f"torchrun has started {info.world_size} processes, and --processes asks for {arguments.processes}: leave "
            "--processes out, or start the command without torchrun"
        )
    from glimpse_gym.agents.parallel import PeerLostError, joined
    from glimpse_gym.agents.training_loop import train_along

    configs = arguments.training, arguments.policy
    try:
        with joined(info, arguments.training.device) as parallel:
            if parallel.rank == 0:
                return _train(arguments, env_kwargs, augmentation, command_line, parallel)
            is_finished = train_along(parallel, arguments.env, env_kwargs | augmentation, *configs)
            return None if is_finished else INTERRUPTED
    except PeerLostError:
        if info and info.launcher:  # which says what has happened
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(PEER_LOST)  # at once, because gloo's threads may abort a process that ends without its peers
        raise


def _train(
    arguments: TrainArguments[Any, Any],
    env_kwargs: dict[str, Any],
    augmentation: dict[str, Any],
    command_line: str,
    parallel: Parallel,
) -> int | None:
    """Train in the process that has the folder of the run."""
    from glimpse_gym.agents.trainer import Trainer

    env_name = arguments.env.rpartition("/")[2]
    folder = arguments.out or Path("runs", f"{env_name}-seed{arguments.training.seed}")
    trainer = Trainer(
        folder,
        arguments.env,
        env_kwargs,
        arguments.training,
        arguments.policy,
        resume=arguments.resume,
        augmentation=augmentation,
        command=command_line,
        parallel=parallel,
    )
    if not trainer.train():
        num_episodes = trainer.learner.num_episodes_played
        print(f"stopped after {num_episodes} episodes; the same command with --resume resumes", file=sys.stderr)
        return INTERRUPTED
    print(f"{trainer.summary()}\nThe agent, its log and its learning curve (curve.png) are in {folder}")
    return None


def parse_assignments(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``NAME=VALUE`` pairs into a dict; a VALUE that is not valid JSON is a string.

    Raises:
        ValueError: if a pair lacks the name or the equals sign.
    """
    values = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not (name and sign):
            raise ValueError(f"expected NAME=VALUE, got {pair!r}")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def _find_env_and_algorithm(arguments: Sequence[str]) -> tuple[str | None, str | None]:
    """Find ENV and ``--algorithm``, which determine the other options; None if not given."""
    parser = argparse.ArgumentParser(prog=_PROGRAM, add_help=False, allow_abbrev=False)
    # Options with a value, so that the value is not taken for ENV. Flags take none and need not be known here.
    # nargs="?": a missing value is left to the main parser, whose message is better.
    names = {"algorithm", "out", "env_arg", "augment", "processes"}
    for entry in ALGORITHMS.values():
        for config in (entry.config_class(), entry.default_policy):
            names |= {field.name for field in fields(config) if not isinstance(getattr(config, field.name), bool)}
    for name in sorted(names):
        parser.add_argument(*{f"--{name.replace('_', '-')}", f"--{name}"}, dest=name, nargs="?")
    parsed, rest = parser.parse_known_args(arguments)
    return next((argument for argument in rest if not argument.startswith("-")), None), parsed.algorithm


def _exit(message: str) -> NoReturn:
    print(f"{_PROGRAM}: {message}", file=sys.stderr)
    raise SystemExit(2)
