"""What all tests share."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Numba keeps compiled code by the file it is in, and would not see a change in a function called from another file.
_cache = tempfile.TemporaryDirectory(prefix="numba-")
os.environ["NUMBA_CACHE_DIR"] = _cache.name
# Windows open on a display that does not exist; a test that needs a real one starts its own.
os.environ["SDL_VIDEODRIVER"] = "dummy"


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Threads of torch that wait for each other on busy cores make the suite many times slower."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def no_agents(monkeypatch, tmp_path):
    """An empty folder in the place of the pretrained agents."""
    from glimpse_gym.agents import pretrained

    folder = tmp_path / "pretrained"
    folder.mkdir()
    monkeypatch.setattr(pretrained, "PRETRAINED", folder)
    return folder


@pytest.fixture
def one_attempt(monkeypatch):
    """Without the repeated attempts to read an agent that may be in training."""
    from glimpse_gym.agents import checkpoint_files

    monkeypatch.setattr(checkpoint_files, "_NUM_ATTEMPTS", 1)


@pytest.fixture
def mirrors():
    """Makes as many local servers as a test asks for, each a `tiny_data.Mirror`."""
    from tiny_data import Mirror

    made = []

    def make(**settings):
        made.append(Mirror(**settings))
        return made[-1]

    yield make
    for mirror in made:
        mirror.close()


@pytest.fixture(scope="module")
def no_curves():
    """Trainers draw no learning curves, which would take longer than tiny trainings."""
    from glimpse_gym.agents.trainer import Trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_save_curve", lambda trainer: None)
        yield


@pytest.fixture
def register_tiny(monkeypatch, tmp_path):
    """Registers the data set "tiny" in an empty folder of its own, and returns the folder."""
    from glimpse_gym.images.datasets import DATA_SETS
    from tiny_data import tiny_set

    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def register(**settings):
        monkeypatch.setitem(DATA_SETS, "tiny", tiny_set(**settings))
        return tmp_path / "tiny"

    return register


@pytest.fixture
def cli(capsys, monkeypatch):
    """Runs the command line in this process: ``cli(*arguments)`` returns a `cli_runs.Result`."""
    from cli_runs import Result
    from glimpse_gym.cli import main

    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # so that what main sets does not outlive the test
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit_request:  # usage errors and --help
            status = exit_request.code
        return Result(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """File with small images that a RAM learns to classify in no time."""
    from cli_runs import save_halves

    return save_halves(tmp_path_factory.mktemp("images") / "halves.npz")


@pytest.fixture(scope="session")
def train_arguments(images):
    """Makes the arguments of a training run: ``train_arguments(folder, option=value)``."""
    from cli_runs import ENV_KWARGS, OPTIONS, flags

    def make(folder, env="glimpse_gym/Images-v0", env_kwargs=ENV_KWARGS, **options):
        env_args = {"images": images} | env_kwargs
        given = [f"--env-arg={name}={value}" for name, value in env_args.items()]
        return ["train", env, *given, *flags(**(OPTIONS | options)), "--out", str(folder)]

    return make


@pytest.fixture(scope="session")
def finished_run(train_arguments, tmp_path_factory):
    """Folder of a finished training run, not to be changed."""
    from glimpse_gym.cli import main

    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main(train_arguments(folder)) == 0
    return folder


@pytest.fixture
def run_folder(finished_run, tmp_path):
    """A copy of a finished run, free to be changed."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    from chromium import chromium

    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The page with the pretrained agents."""
    from glimpse_gym.browser.page import write_page

    return write_page(tmp_path_factory.mktemp("page") / "play.html")


@pytest.fixture
def open_page(browser, page_file):
    """Opens the page: ``with open_page("#MNIST-v0/3", **settings of a context) as page``."""
    from chromium import opened

    def start(address="#ClutteredMNIST-v0/17", **settings):
        return opened(browser, page_file, address, **settings)

    return start
