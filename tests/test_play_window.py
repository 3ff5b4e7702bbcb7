"""Playing in a real window: a virtual X display (Xvfb), with xdotool as the person at mouse and keyboard."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from glimpse_gym.play.recording import load_records
from glimpse_gym.play.replay import verify_record

SCREEN = (1280, 900)
pytestmark = pytest.mark.skipif(
    shutil.which("Xvfb") is None or shutil.which("xdotool") is None,
    reason="needs the system packages xvfb and xdotool; without them only the tests on a dummy display run",
)


@pytest.fixture(scope="module")
def display():
    """A display of its own, at the first free number."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{SCREEN[0]}x{SCREEN[1]}x24", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


class Person:
    """Someone at a display."""

    def __init__(self, display, folder, *arguments):
        self._environment = os.environ | {"DISPLAY": display, "SDL_VIDEODRIVER": "x11"}
        self.folder = folder
        command = [sys.executable, "-m", "glimpse_gym", "play", *arguments, "--record", str(folder)]
        self._game = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._wait_for_the_window()

    def _wait_for_the_window(self):
        for _ in range(300):
            found = self._xdotool("search", "--pid", str(self._game.pid), check=False)
            if found.stdout.strip():
                self._xdotool("windowfocus", found.stdout.split()[0])
                time.sleep(0.3)
                return
            assert self._game.poll() is None, self._game.stdout.read()
            time.sleep(0.1)
        raise AssertionError("no window appeared")

    def _xdotool(self, *arguments, check=True):
        return subprocess.run(
            ["xdotool", *arguments], env=self._environment, check=check, capture_output=True, text=True
        )

    def click(self, x, y):
        """Click at a place of the window, in pixels from the center of the screen."""
        self._xdotool("mousemove", str(SCREEN[0] // 2 + x), str(SCREEN[1] // 2 + y), "sleep", "0.1", "click", "1")
        time.sleep(0.1)

    def press(self, *keys):
        for key in keys:
            self._xdotool("key", key)
            time.sleep(0.15)

    def hold(self, key, seconds):
        self._xdotool("keydown", key, "sleep", str(seconds), "keyup", key)

    def wait(self):
        """Wait for the game to end by itself. Returns what it printed."""
        output, _ = self._game.communicate(timeout=60)
        assert self._game.returncode == 0, output
        return output


def test_digits_by_mouse_and_by_keys(display, tmp_path):
    person = Person(display, tmp_path / "digits", "glimpse_gym/ClutteredMNIST-v0", "--episodes", "2")
    person.click(-250, -50)
    person.click(-100, 60)
    person.press("4", "Return")  # the first episode, then its review
    person.hold("a", 0.3)
    person.press("space", "Up", "space", "7", "space")
    assert "of 2" in person.wait()
    first, second = load_records(tmp_path / "digits")
    assert (first.num_glimpses, first.choices[-1]) == (3, 4)
    assert first.locations[1, 0] < first.locations[2, 0]
    assert first.locations[1, 1] < first.locations[2, 1]
    assert (second.num_glimpses, second.choices[-1]) == (3, 7)
    assert second.locations[1, 0] < second.locations[0, 0]
    for record in (first, second):
        verify_record(record)


def test_catch_by_mouse_and_arrows(display, tmp_path):
    person = Person(display, tmp_path / "catch", "glimpse_gym/Catch-v0", "--episodes", "1", "--pace", "10")
    person.press("space")  # start
    person.click(-300, 100)
    person.hold("Right", 1.0)
    time.sleep(2.0)
    person.press("space")  # leave the review
    person.wait()
    (record,) = load_records(tmp_path / "catch")
    assert 2 in record.choices
    assert record.locations[-1, 0] < 0
    verify_record(record)
