"""Packaging: the sdist, the wheel, setup.cfg, constraints.txt, and rules for all files of the repository."""

import ast
import configparser
import email
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import glimpse_gym
from glimpse_gym.extras import EXTRAS

ROOT = Path(__file__).parents[1]
# Folders of code, and the packages they are imported as.
CODE = {"glimpse_gym": "glimpse_gym", "envs": "glimpse_gym.envs", "agents": "glimpse_gym.agents"}
VISIBLE = (".ci", ".github", ".gitignore", ".pre-commit-config.yaml")
GENERATED = ("_build", "build", "dist", "__pycache__")


def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def entries(section: str, option: str) -> list[str]:
    """Lines of an option that is a list, without comments."""
    lines = (line.strip() for line in config().get(section, option, raw=True).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def is_ours(path: Path) -> bool:
    """Whether a file belongs to the repository: not generated, not hidden (except the files below)."""
    parts = path.relative_to(ROOT).parts
    hidden = [part for part in parts if part.startswith(".") and part not in VISIBLE]
    return (
        not hidden and parts[0] != "runs" and not any(part in GENERATED or part.endswith(".egg-info") for part in parts)
    )


def our_files(*patterns: str) -> list[Path]:
    found = {path for pattern in patterns for path in ROOT.rglob(pattern) if path.is_file() and is_ours(path)}
    return sorted(found)


def installed_files() -> dict[str, Path]:
    """Every file in the folders of code, data files included, by its path when installed.

    For example, envs/catch.py is installed as glimpse_gym/envs/catch.py.
    """
    files = {}
    for folder, package in CODE.items():
        for path in our_files(f"{folder}/**/*"):
            files[f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}"] = path
    return files


def imports_of(path: Path) -> list[str]:
    """Full names of all modules that a file imports, at any level."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(str(node.module))
    return names


# ---------------------------------------------------------------- sdist and wheel


@pytest.fixture(scope="session")
def dist(tmp_path_factory):
    """Folder with the sdist, built from a copy of the tree, and the wheel, built from the sdist."""
    tree, folder = tmp_path_factory.mktemp("tree") / "copy", tmp_path_factory.mktemp("dist")
    tree.mkdir()
    for path in ROOT.iterdir():
        if is_ours(path):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, tree / path.name, ignore=ignore) if path.is_dir() else shutil.copy2(path, tree)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(tree)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="session")
def wheel(dist):
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        yield archive


@pytest.fixture(scope="session")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_the_only_top_level_name_is_glimpse_gym(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"glimpse_gym"}
    assert len(tops) == 2


def test_the_wheel_holds_every_file_and_no_other(wheel):
    expected = installed_files().keys()
    assert len([name for name in expected if name.endswith(".py")]) > 60
    assert {
        *("glimpse_gym/py.typed", "glimpse_gym/agents/experiments/recipes.toml"),
        *("glimpse_gym/agents/pretrained/ram-mnist/agent.json", "glimpse_gym/cli/train.py"),
    } <= expected
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_the_wheel_holds_the_files_unchanged(wheel):
    for name, path in installed_files().items():
        assert wheel.read(name) == path.read_bytes(), name


def test_the_entry_point(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    parser = configparser.ConfigParser()
    parser.read_string(wheel.read(name).decode())
    assert {section: dict(parser[section]) for section in parser.sections()} == {
        "console_scripts": {"glimpse-gym": "glimpse_gym.cli:main"}
    }


def test_the_license(wheel, metadata):
    assert (metadata["License-Expression"] or metadata["License"]) == "MIT"  # the former where setup.cfg can say it
    assert metadata.get_all("License-File") == ["LICENSE"]
    (name,) = (name for name in wheel.namelist() if name.endswith("/LICENSE"))
    assert wheel.read(name) == (ROOT / "LICENSE").read_bytes()


def test_the_metadata(metadata):
    assert metadata["Name"] in ("glimpse_gym", "glimpse-gym")
    assert metadata["Version"] == glimpse_gym.__version__
    assert set(metadata.get_all("Provides-Extra")) == {
        "agents",
        "browser",
        "docs",
        "figures",
        "large",
        "minari",
        "ray",
        "sb3",
        "search",
        "test",
        "video",
        "zoo",
    }
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert (
        metadata.get_payload(decode=True).decode().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    )
    accepted = SpecifierSet(metadata["Requires-Python"])
    classified = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier") if "Python :: 3." in line]
    assert "3.10" not in accepted
    assert "3.11" in classified
    assert all(version in accepted for version in classified)


def test_each_extra_holds_what_it_says(metadata):
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist")]

    def names(extra):
        return {r.name for r in requirements if (r.marker.evaluate({"extra": extra}) if r.marker else True)}

    assert "torch" not in names("")
    assert {"gymnasium", "numpy", "pooch", "tyro"} <= names("")
    assert {"torch", "safetensors", "tensorboard"} <= names("agents")
    assert names("agents") | {"stable-baselines3", "sb3-contrib"} <= names("sb3")
    assert names("ray") | names("zoo") | {"pytest", "build", "ruff", "mypy", "import-linter"} <= names("test")


def test_the_sdist_holds_everything_that_the_tests_need(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = [ROOT / name for name in ("conftest.py", "constraints.txt", "Makefile", "LICENSE", "README.md")]
    wanted += [
        ROOT / name for name in ("setup.cfg", "pyproject.toml", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md")
    ]
    wanted += [path for path in (ROOT / "tests").iterdir() if path.is_file()]
    wanted += installed_files().values()
    assert {path.relative_to(ROOT).as_posix() for path in wanted} <= names


def test_the_installed_wheel_works_outside_the_repository(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    target, outside = tmp_path / "site", tmp_path / "outside"
    outside.mkdir()
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--quiet", "--target", str(target)]
    result = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, str(wheel)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    code = """
import gymnasium as gym
env = gym.make("glimpse_gym:glimpse_gym/Catch-v0")
env.reset(seed=0)
env.step(env.action_space.sample())
import glimpse_gym.agents, glimpse_gym.cli, glimpse_gym.kernels
for module in (glimpse_gym, glimpse_gym.agents, glimpse_gym.cli, glimpse_gym.envs, glimpse_gym.kernels):
    print(module.__file__)
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(target), "PYTHONWARNINGS": "error::ImportWarning"}
    result = subprocess.run([sys.executable, "-c", code], cwd=outside, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    places = result.stdout.split()
    assert len(places) == 5
    for place in places:  # and not in the repository
        assert Path(place).is_relative_to(target)


# ---------------------------------------------------------------- setup.cfg and constraints.txt


def test_every_package_is_in_both_lists():
    expected = {}
    for folder, package in CODE.items():
        for parent in {path.parent for path in our_files(f"{folder}/**/*.py")}:
            below = parent.relative_to(ROOT / folder).parts
            expected[".".join([package, *below])] = parent.relative_to(ROOT).as_posix()
            assert (parent / "__init__.py").is_file(), parent
    assert sorted(entries("options", "packages")) == sorted(expected)
    mapped = dict(re.split(r"\s*=\s*", line) for line in entries("options", "package_dir"))
    assert mapped == expected


def test_every_import_is_a_requirement():
    declared = {"core": entries("options", "install_requires")}
    for extra in ("agents", "docs", "large", "minari", "video", "sb3", "ray", "search", "zoo", "test"):
        declared[extra] = [line for line in entries("options.extras_require", extra) if not line.startswith("%")]
    names = {extra: {Requirement(line).name for line in lines} for extra, lines in declared.items()}
    core, agents = names["core"], names["core"] | names["agents"]
    allowed = {
        "glimpse_gym": agents | names["large"] | names["minari"] | names["video"],
        "envs": core,
        "agents": agents | names["sb3"] | names["ray"] | names["search"] | names["zoo"],
    }
    # packaging is a requirement of build and pytest.
    allowed["tests"] = set().union(*names.values(), ["packaging"])
    distributions = importlib.metadata.packages_distributions()
    for folder, permitted in allowed.items():
        for path in our_files(f"{folder}/**/*.py"):
            for module in {name.partition(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names):
                helpers = [ROOT / "tests" / f"{module}.py", ROOT / "tests" / module, ROOT / "docs" / module]
                if module == "glimpse_gym" or any(helper.exists() for helper in helpers):
                    continue
                providers = {normal(name) for name in distributions.get(module, [module])}
                assert providers & {normal(name) for name in permitted}, f"{path} imports {module}"


def test_every_requirement_is_pinned():
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pinned = {normal(Requirement(line).name): Requirement(line).specifier for line in pins}
    assert len(pinned) == len(pins), "some package is pinned twice"
    lines = entries("options", "install_requires")
    for extra in ("agents", "docs", "minari", "video", "sb3", "ray", "search", "zoo", "test"):
        lines += [line for line in entries("options.extras_require", extra) if not line.startswith("%")]
    for requirement in map(Requirement, lines):
        (pin,) = pinned[normal(requirement.name)]
        assert pin.operator == "=="
        assert pin.version in requirement.specifier, f"{requirement} does not accept {pin}"


def test_pins_have_no_markers():
    assert ";" not in (ROOT / "constraints.txt").read_text()


def test_extras_match_setup_cfg():
    """The modules that `require_extra` checks are those of the requirements."""
    for extra, modules in EXTRAS.items():
        lines = [line for line in entries("options.extras_require", extra) if not line.startswith("%")]
        assert sorted(map(normal, modules)) == sorted(normal(Requirement(line).name) for line in lines)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_version_is_in_the_changelog_and_the_citation():
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == glimpse_gym.__version__
    assert f"\nversion: {glimpse_gym.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_entry_for_lists_has_the_oldest_gymnasium_that_is_accepted():
    (requirement,) = (r for r in map(Requirement, entries("options", "install_requires")) if r.name == "gymnasium")
    (badge,) = re.findall(r"badge/Gymnasium-v([\d.]+)-blue", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    (oldest,) = requirement.specifier
    assert (oldest.operator, f"{oldest.version}.0") == (">=", badge)


# ---------------------------------------------------------------- all files


def test_nothing_imports_envs_or_agents_as_top_level_packages():
    files = our_files("*.py")
    assert len(files) > 35
    for path in files:
        for module in imports_of(path):
            assert module.partition(".")[0] not in ("envs", "agents"), f"{path} imports {module}"
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""(entry_point|import_module)\S*\s*[=(]\s*f?["'](envs|agents)\b""", text), path


TEXTS = (
    "*.py",
    "*.md",
    "*.json",
    "*.cfg",
    "*.toml",
    "*.txt",
    "*.in",
    "*.ini",
    "*.cff",
    "*.yml",
    "*.yaml",
    "Makefile",
    ".gitignore",
    "run",
)
# Absolute path of some machine. In a URL the character before the slash is a letter or a digit.
MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_.~}])/(work|root|home|tmp|opt|mnt|srv|Users)/", re.MULTILINE)
HOST = re.compile(r"\b(py[p]i|python[h]osted|npm[j]s|yarn[p]kg|ana[c]onda)\.(org|com)\b|--(extra-)?[i]ndex-url", re.I)


@pytest.mark.parametrize("pattern", [MACHINE_PATH, HOST], ids=["path", "host"])
def test_no_file_names_a_machine_or_a_package_registry(pattern):
    texts = our_files(*TEXTS)
    assert ROOT / "Makefile" in texts
    assert ROOT / ".ci" / "run" in texts or not (ROOT / ".ci").exists()  # absent from an sdist
    for path in texts:
        found = pattern.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path} says {found[0]!r}"


@pytest.mark.parametrize(
    "text", [f"see {'/'}home/me/x", f"{'/'}work/main", f"'{'/'}tmp/a'", f"DATA={'/'}opt/dev", f"a\n{'/'}root/b"]
)
def test_the_pattern_finds_paths(text):
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["https://a.org/home/x", "a/data/b", "package/data/x", "~/work/", ".venv/bin"])
def test_the_pattern_does_not_find_relative_paths(text):
    assert not MACHINE_PATH.search(text)
