"""Subcommands of ``glimpse-gym``. Modules that need torch are imported inside the functions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.cli.trust import announce_requests
from glimpse_gym.extras import require_extra
from glimpse_gym.folder_lock import FolderInUseError
from glimpse_gym.images.datasets import fetch
from glimpse_gym.registration import describe_envs, document_envs

if TYPE_CHECKING:
    from glimpse_gym.agents.checkpoint import CheckpointMetadata
    from glimpse_gym.agents.evaluation import Score

FAILURE, INTERRUPTED = 1, 130
"""Exit statuses: for an error with a message; for a stop by Ctrl-C, as shells have it."""


def envs(parsed: argparse.Namespace) -> None:
    """List the env ids with their spaces, or print the reference page."""
    print(document_envs() if parsed.docs else describe_envs())


def data(parsed: argparse.Namespace) -> None:
    """Download and verify data sets."""
    for name in parsed.name:
        print(f"{name}: complete and verified in {fetch(name)}")


def train(parsed: argparse.Namespace) -> int | None:
    """Train an agent in an env."""
    from glimpse_gym.cli.train import parse_train_arguments, train_agent

    return train_agent(parse_train_arguments(parsed.train_arguments), parsed.command_line)


def evaluate(parsed: argparse.Namespace) -> None:
    """Evaluate an agent, save the scores with it, and draw where it looks."""
    require_extra("agents")
    from glimpse_gym.agents.checkpoint import load_agent
    from glimpse_gym.agents.pretrained import agent_folder, is_pretrained
    from glimpse_gym.agents.scanpaths import evaluate_all, format_scores, save_pictures

    source = agent_folder(parsed.agent)
    ships_with_package = is_pretrained(source)
    policy, metadata = load_agent(source, trusted=parsed.trust or ships_with_package)
    if parsed.trust:
        announce_requests(f"the agent in {source}", metadata.env_id, metadata.env_kwargs)
    scores = evaluate_all(policy, metadata, parsed.split, parsed.seed, parsed.num_episodes)
    print(f"{metadata.env_id}: error in % after each glimpse, on {scores[0].num_episodes} episodes")
    print(format_scores(scores))
    if not ships_with_package:
        _save_scores(source, metadata, scores)
    if policy.actions != "hybrid":  # pictures are drawn of episodes of equal length only
        return
    folder = parsed.out or (Path("runs", source.name) if ships_with_package else source)
    try:
        paths = save_pictures(folder, policy, metadata, parsed.split, parsed.seed)
    except OSError as error:
        raise OSError(f"the pictures are not saved: {error}; name another folder with --out") from error
    print(*paths, sep="\n")


def _save_scores(folder: Path, metadata: CheckpointMetadata, scores: list[Score]) -> None:
    """Save scores with the agent, or say why not: the folder may be read-only, or the agent still in training."""
    from glimpse_gym.agents.checkpoint import CheckpointError, add_scores

    try:
        add_scores(folder, metadata, [score._asdict() for score in scores])
    except (CheckpointError, FolderInUseError, OSError) as error:
        print(f"the scores are not saved with the agent: {error}", file=sys.stderr)


def reproduce(parsed: argparse.Namespace) -> int | None:
    """Train and evaluate an agent by a recipe, and save the result; without a recipe, list all recipes."""
    from glimpse_gym.agents.experiments.recipes import load_recipe, recipe_names

    if parsed.recipe is None:
        names = recipe_names()
        width = max(map(len, names)) + 2
        for recipe in map(load_recipe, names):
            length = f"{recipe.training.num_episodes:,} episodes" if recipe.training else "not trained"
            print(f"{recipe.name:<{width}}{recipe.model}, in {recipe.env_id}, {length}")
        return None
    require_extra("agents")
    from glimpse_gym.agents.evaluation import Score
    from glimpse_gym.agents.experiments import results
    from glimpse_gym.agents.scanpaths import format_scores

    result = results.reproduce(load_recipe(parsed.recipe), parsed.seed, parsed.runs, parsed.results)
    if result is None:
        print("stopped; the same command resumes the run", file=sys.stderr)
        return INTERRUPTED
    scores = [Score(**score) for score in result.scores]
    print(f"{result.recipe}, seed {result.seed}: error in % after each glimpse\n{format_scores(scores)}")
    return None


def report(parsed: argparse.Namespace) -> None:
    """Write the results page with its tables and figures."""
    require_extra("agents")
    from glimpse_gym.agents.experiments.report import write_report

    for path in write_report(parsed.results, parsed.docs, parsed.readme):
        print(path)


def card(parsed: argparse.Namespace) -> None:
    """Print the model card of an agent, or write it to a file."""
    require_extra("agents")
    from glimpse_gym.agents.model_cards import model_card

    text = model_card(parsed.agent)
    if parsed.out is None:
        print(text, end="")
        return
    with atomic_write(parsed.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(parsed.out)


def bench(parsed: argparse.Namespace) -> None:
    """Measure speed."""
    if parsed.sizes:
        from glimpse_gym.bench.sizes import bench_sizes

        lines = bench_sizes(parsed.out, parsed.seconds, parsed.max_side)
    elif parsed.train:
        require_extra("agents")
        from glimpse_gym.bench.training import bench_training

        lines = bench_training(parsed.seconds)
    else:
        from glimpse_gym.bench.worlds import bench_worlds

        lines = bench_worlds(parsed.seconds, parsed.num_envs, parsed.save)
    for line in lines:
        print(line, flush=True)
