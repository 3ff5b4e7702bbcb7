"""The code on all pages runs and prints what the page says; the commands on them are accepted."""

import ast
import contextlib
import importlib
import importlib.util
import io
import re
import runpy
import shlex
import sys
import tokenize
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from doc_pages import ROOT, Block, blocks_of, commands_of, page_names
from glimpse_gym import ENV_IDS, cli
from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS
from glimpse_gym.agents.experiments.recipes import recipe_names
from glimpse_gym.agents.pretrained import pretrained_names
from glimpse_gym.cli.train import parse_train_arguments
from glimpse_gym.extras import EXTRAS
from glimpse_gym.images.datasets import DATA_SETS
from glimpse_gym.play.episode import PlayEnv
from glimpse_gym.play.recording import save_record
from glimpse_gym.registration import WORLDS
from recordings import play

PAGES_WITH_CODE = [name for name in page_names() if blocks_of(name, "python")]
PAGES_WITH_COMMANDS = [name for name in page_names() if commands_of(name)]

# Numbers that tests replace by smaller ones.
SMALLER = {
    "docs/extending.md": {"num_episodes=20_000, batch_size=128": "num_episodes=64, batch_size=32", "10_000": "100"},
    "docs/sb3.md": {
        'Discrete-v0").learn(100_000)': 'Discrete-v0", n_steps=64).learn(64)',
        "VecMonitor(to_sb3(envs)))": "VecMonitor(to_sb3(envs)), n_steps=16)",
        "learn(100_000)": "learn(1)",
    },
}


def _canvas(folder: Path) -> None:
    np.save(folder / "canvas.npy", np.zeros((256, 300), np.uint8))


def _recording(folder: Path) -> None:
    path = save_record(folder / "FOLDER", play(PlayEnv("glimpse_gym/Catch-v0", {})))
    path.rename(path.with_name("000001-PLAYER.npz"))


def _shapes(folder: Path) -> None:
    runpy.run_path(str(ROOT / "docs/examples/shapes.py"))["save_shapes"](folder / "shapes", 10)


FILES = {"docs/large_images.md": _canvas, "docs/recordings.md": _recording, "docs/own_images.md": _shapes}
"""Functions that make the files that the code of a page reads."""


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty folder as the current one; the worlds, algorithms and modules of a page are gone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    modules, worlds, algorithms, ids = set(sys.modules), dict(WORLDS), dict(ALGORITHMS), set(gym.registry)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    for table, saved in ((WORLDS, worlds), (ALGORITHMS, algorithms)):
        table.clear()
        table.update(saved)
    for name in set(gym.registry) - ids:
        del gym.registry[name]


@pytest.mark.filterwarnings("ignore:You are trying to run PPO on the GPU")
@pytest.mark.parametrize("name", PAGES_WITH_CODE)
def test_code_prints_what_the_page_says(name, workspace):
    FILES.get(name, lambda folder: None)(workspace)
    namespace: dict = {"__name__": "__main__"}
    replaced = set()
    for block in blocks_of(name, "python"):
        code = block.code
        for number, smaller in SMALLER.get(name, {}).items():
            replaced |= {number} if number in code else set()
            code = code.replace(number, smaller)
        check_output(block, run(code, block.module, namespace))
    assert replaced == set(SMALLER.get(name, {}))


def run(code: str, module: str | None, namespace: dict) -> str:
    """Run code, as a module of that name if there is one, and return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        if module:
            Path(f"{module}.py").write_text(code)
            importlib.invalidate_caches()
            importlib.import_module(module)
        else:
            exec(compile(code, "<page>", "exec"), namespace)
    return printed.getvalue()


def check_output(block: Block, printed: str) -> None:
    """Compare with the text block that follows, or with the comments behind ``print``; there ``...`` is anything."""
    expected = printed_comments(block.code)
    if block.output is not None:
        assert printed == block.output
        assert not expected, f"the page has a block of output, and also the comments {expected}"
    elif expected:
        pattern = "\n".join(re.escape(line).replace(re.escape("..."), ".*") for line in expected)
        assert re.fullmatch(pattern, printed.strip()), f"expected {expected}, printed:\n{printed}"


def printed_comments(code: str) -> list[str]:
    """List the comments behind calls of ``print``, in their order."""
    tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    comments = {each.start[0]: each.string.removeprefix("# ") for each in tokens if each.type == tokenize.COMMENT}
    calls = (each for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Call))
    spans = sorted((each.lineno, each.end_lineno) for each in calls if getattr(each.func, "id", "") == "print")
    for first, last in spans:
        inside = comments.keys() & range(first, last)
        assert not inside, f"a comment inside of print( ) is not compared: {comments[min(inside)]}"
    return [comments[last] for _, last in spans if last in comments]


@pytest.mark.parametrize(
    ("code", "output", "printed"),
    [
        ("print(1)\n", "1\n", "2\n"),
        ("print(1)  # 1\n", "2\n", "2\n"),
        ("print(\n    1\n)  # 1\n", None, "2\n"),
        ("print(\n    1  # 1\n)\n", None, "2\n"),
        ("if True:\n    print(1)  # 1\n", None, "2\n"),
        ("print(1)  # 1\nprint(2)\n", None, "1\n2\n"),
        ("print(1)  # 1\n", None, "2\n"),
        ("print({})  # {'a': ..., 'b'}\n", None, "{'a': 1}\n"),
    ],
)
def test_other_output_is_found(code, output, printed):
    with pytest.raises(AssertionError):
        check_output(Block("python", code, output, None), printed)


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize("name", PAGES_WITH_COMMANDS)
def test_commands_are_accepted(name):
    for line in commands_of(name):
        check_command(shlex.split(line, comments=True))


@pytest.mark.parametrize(
    "line",
    [
        "glimpse-gym trian glimpse_gym/MNIST-v0",
        "glimpse-gym train glimpse_gym/MNIST-v0 --no-such-option",
        "glimpse-gym train glimpse_gym/NoWorld-v0",
        "glimpse-gym eval ram-nothing",
        "glimpse-gym reproduce nothing",
        "python docs/examples/nothing.py",
        "python -m glimpse_gym.nothing",
        "pip install 'glimpse_gym[nothing]'",
        "make nothing",
        "rm -rf .",
    ],
)
def test_commands_that_do_not_exist_are_found(line):
    with pytest.raises((AssertionError, SystemExit, gym.error.Error)):
        check_command(shlex.split(line))


def check_command(words: list[str]) -> None:
    """Check that a command line exists, without running it."""
    for end in ("&&", "|"):
        if end in words:
            check_command(words[: words.index(end)])
            check_command(words[words.index(end) + 1 :])
            return
    program, *arguments = words
    program = program.removeprefix("../").removeprefix(".venv/bin/")
    assert program in CHECKS, f"nothing checks {program}"
    CHECKS[program](arguments)


def check_glimpse_gym(arguments: list[str]) -> None:
    """Parse the command line with the program's parser, and look up the names in it."""
    parsed, rest = cli._make_parser().parse_known_args(arguments)
    if parsed.command == "train":
        assert rest[0] in ENV_IDS
        if rest[1:] != ["--help"]:
            parse_train_arguments(rest)
        return
    assert not rest
    known = {"recipe": recipe_names(), "env": ENV_IDS, "env_id": ENV_IDS}
    for option, names in known.items():
        value = getattr(parsed, option, None)
        assert value is None or value in names, value
    for option in ("agent", "against"):
        value = getattr(parsed, option, None) or []
        for agent in [value] if isinstance(value, str) else value:
            assert agent.startswith("runs/") or agent.isupper() or agent in pretrained_names(), agent
    if parsed.command == "data":
        assert set(parsed.name) <= set(DATA_SETS)


def check_python(arguments: list[str]) -> None:
    """Look up the module or the program, and the options of pytest's and of our own."""
    first, *rest = arguments
    if first != "-m":
        assert (ROOT / first).is_file(), first
    elif rest[0] == "glimpse_gym":
        check_glimpse_gym(rest[1:])
    else:
        known = (ROOT / "tests" / rest[0]).is_dir() or importlib.util.find_spec(rest[0])
        assert known, rest[0]


def check_pip(arguments: list[str]) -> None:
    """Look up the extras."""
    assert arguments[0] == "install"
    for extras in re.findall(r"\[(.*?)\]", " ".join(arguments)):
        assert set(extras.split(",")) <= {*EXTRAS, "docs", "test"}, extras


def check_make(arguments: list[str]) -> None:
    """Look up the targets."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in arguments if "=" not in word} <= set(targets)


def check_torchrun(arguments: list[str]) -> None:
    """Check what it starts."""
    check_python(arguments[arguments.index("-m") :])


def accept(arguments: list[str]) -> None:
    """Accept a program of the system."""


CHECKS = {
    "glimpse-gym": check_glimpse_gym,
    "python": check_python,
    "torchrun": check_torchrun,
    "pip": check_pip,
    "make": check_make,
    "git": accept,
    "cd": accept,
}
