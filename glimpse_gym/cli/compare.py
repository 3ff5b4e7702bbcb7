"""Subcommands ``compare`` and ``figure``: comparison of players, and figures for papers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from glimpse_gym.cli.replay import load_folder
from glimpse_gym.cli.trust import add_trust_option, announce_requests
from glimpse_gym.extras import require_extra

if TYPE_CHECKING:
    from glimpse_gym.play.compare import Group
    from glimpse_gym.play.trials import Trial

FIGURES = ("scanpaths", "belief", "heat-maps", "class-heat-maps", "errors")
_Add = Callable[..., argparse.ArgumentParser]


def add_compare_commands(add: _Add) -> None:
    """Add ``compare`` and ``figure`` to the command line.

    Args:
        add: makes a subcommand's parser from its name, function and description.
    """
    parser = add("compare", compare, "Compare players: accuracy after each glimpse, and scanpaths.")
    _add_sources(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for figures (SVG and PNG), CSV and JSON files")
    parser = add("figure", figure, "Draw one figure for a paper, as SVG and PNG.")
    parser.add_argument("kind", metavar="KIND", choices=FIGURES, help=f"one of {', '.join(FIGURES)}")
    _add_sources(parser)
    parser.add_argument("--player", help="draw only this player; otherwise all, or the first that fits")
    parser.add_argument("--episode", type=int, default=0, metavar="N", help="for belief: number of the trial, from 0")
    parser.add_argument("--num-episodes", type=int, default=24, metavar="N", help="for scanpaths: number of trials")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="a .svg or .png file, or both without an ending (default: KIND)"
    )


def _add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="a recording made with --record")
    parser.add_argument(
        "--attention-mnist", type=Path, metavar="FILE", help="mnist.json of AttentionMNIST, your own copy"
    )
    parser.add_argument(
        "--agent",
        action="append",
        default=[],
        metavar="AGENT",
        help="let this agent play the same episodes or images, also at random and center locations; may be repeated",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random baseline")
    add_trust_option(parser, "a recording")


def compare(parsed: argparse.Namespace) -> None:
    """Print tables and, with ``--out``, write figures and numbers."""
    from glimpse_gym.play.compare import compare
    from glimpse_gym.play.comparison_files import format_comparison, save_numbers

    if parsed.out:
        require_extra("figures")
    trials, notes = load_trials(parsed)
    comparison = compare(trials, parsed.seed)
    comparison.notes.extend(notes)
    print(format_comparison(comparison))
    if not parsed.out:
        return
    from glimpse_gym.play.comparison_files import error_figure, heat_map_figure
    from glimpse_gym.rendering.paper_figures import save_figure

    parsed.out.mkdir(parents=True, exist_ok=True)
    paths = save_numbers(comparison, parsed.out)
    if any(rate.trials for curve in comparison.accuracies for rate in curve):
        paths += save_figure(error_figure(comparison), parsed.out / "error-against-glimpses")
    paths += save_figure(heat_map_figure(comparison.groups, _selection_notes(trials)), parsed.out / "heat-maps")
    print(*paths, sep="\n")


def figure(parsed: argparse.Namespace) -> None:
    """Draw one figure, and write it as SVG, PNG or both."""
    require_extra("figures")
    from glimpse_gym.play import comparison_files as files
    from glimpse_gym.play.compare import compare, group_trials
    from glimpse_gym.rendering.paper_figures import save_figure

    trials, notes = load_trials(parsed)
    if parsed.player is not None:
        names = ", ".join(dict.fromkeys(trial.player for trial in trials))
        trials = [trial for trial in trials if trial.player == parsed.player]
        if not trials:
            raise ValueError(f"there is no player {parsed.player!r}; there are {names}")
    selection = _selection_notes(trials)
    if parsed.kind == "errors":
        comparison = compare(trials, parsed.seed)
        comparison.notes.extend(notes)
        drawn = files.error_figure(comparison)
    elif parsed.kind == "heat-maps":
        drawn = files.heat_map_figure(group_trials(trials), selection)
    elif parsed.kind == "class-heat-maps":
        drawn = files.class_heat_map_figure(_first_with_labels(group_trials(trials)), selection)
    elif parsed.kind == "belief":
        drawn = files.belief_figure(_belief_trial(trials, parsed.episode))
    else:
        if parsed.num_episodes < 1:
            raise ValueError(f"--num-episodes must be at least 1, got {parsed.num_episodes}")
        shown = [trial for trial in trials if parsed.player is not None or not trial.is_baseline]
        drawn = files.scanpath_figure(shown[: parsed.num_episodes])
    print(*save_figure(drawn, parsed.out or Path(parsed.kind)), sep="\n")


def load_trials(parsed: argparse.Namespace) -> tuple[list[Trial], list[str]]:
    """Read trials from all sources on the command line, and return them with notes on them.

    Raises:
        ValueError: no source is named.
    """
    from glimpse_gym.play.attention_mnist import GLIMPSES_NOTE, load_attention_mnist, training_note
    from glimpse_gym.play.trials import trial_of_record

    if not parsed.folders and not parsed.attention_mnist:
        raise ValueError("name a recording FOLDER (made with --record), or --attention-mnist FILE")
    records = [record for folder in parsed.folders for record in load_folder(folder)[0].values()]
    names = [Path(name).name for name in parsed.agent]
    trials = [trial_of_record(record) for record in records if not (record.is_agent and record.player in names)]
    people = load_attention_mnist(parsed.attention_mnist) if parsed.attention_mnist else []
    trials += people
    notes: list[str] = []
    if parsed.agent:
        require_extra("agents")
        from glimpse_gym.play.agent_trials import agent_trials_of_images, agent_trials_of_records

        if parsed.trust:
            for record in {f"{record.env_id} {record.env_kwargs}": record for record in records}.values():
                announce_requests("a recording", record.env_id, record.env_kwargs)
        for name in parsed.agent:
            trials += agent_trials_of_records(name, records, parsed.trust)
            if people:
                trials += agent_trials_of_images(name, people, parsed.seed)
        if people:
            notes += [training_note(people), GLIMPSES_NOTE]
    return trials, notes


def _selection_notes(trials: list[Trial]) -> list[str]:
    from glimpse_gym.play.attention_mnist import SELECTION_NOTE, TASK

    return [SELECTION_NOTE] if any(trial.task == TASK for trial in trials) else []


def _first_with_labels(groups: list[Group]) -> Group:
    return next((group for group in groups if group.trials[0].label >= 0), groups[0])


def _belief_trial(trials: list[Trial], number: int) -> Trial:
    """Return one of the trials with probabilities, by its number."""
    known = [trial for trial in trials if trial.guess_probs is not None and trial.label >= 0] or trials[:1]
    if not 0 <= number < len(known):
        raise ValueError(f"--episode must be from 0 to {len(known) - 1}, got {number}")
    return known[number]
