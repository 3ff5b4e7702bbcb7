"""Rules of interactive play: phases, key bindings, score. Knows neither pygame nor the rules of any world.

:class:`Game` turns the input of a person (a pointer, clicks, keys, time) into the steps of one :class:`Episode` after
another. :mod:`glimpse_gym.play.view` draws it, and :mod:`glimpse_gym.play.app` connects both to a window.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from glimpse_gym.play.choices import ChoiceKeys
from glimpse_gym.play.episode import Episode
from glimpse_gym.play.episode_record import EpisodeRecord, RecordError

_GAZE_SPEED = 0.9  # of the gaze moved by keys, per second, in units in which the image is 2 wide
_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_WASD = {"a": "left", "d": "right", "w": "up", "s": "down"}
_MOVES = {"left": 0, "right": 2}
_STAY = 1


class Opponent(Protocol):
    """Player of the same episodes, with the same images and the same number of glimpses."""

    @property
    def name(self) -> str:
        """Name on the scoreboard."""

    def play(self, seed: int) -> EpisodeRecord:
        """Play the whole episode of a seed."""


@dataclass
class Scoreboard:
    """Running totals of one player."""

    name: str
    episodes: int = 0
    successes: int = 0
    streak: int = 0
    best_streak: int = 0

    def add(self, success: bool) -> None:
        """Count a finished episode."""
        self.episodes += 1
        self.successes += success
        self.streak = self.streak + 1 if success else 0
        self.best_streak = max(self.best_streak, self.streak)


@dataclass(frozen=True)
class GameSettings:
    """Settings of a game."""

    first_seed: int = 0
    """Seed of the first episode; each later one has the next seed."""
    num_episodes: int | None = None
    """Number of episodes; None plays until the window is closed."""
    guess_every_glimpse: bool = False
    """Ask for a guess after every glimpse."""
    pace: float = 4.0
    """Steps per second in worlds whose image moves."""


@dataclass
class Game:
    """Game of a person, one episode after another.

    Args:
        make_episode: starts the episode of a seed.
        settings: how the game is played.
        player: name of the person in records.
        opponent: plays every episode as well, after the person.
        on_record: called with the record of every finished episode.
        clock: current time in seconds, for response times.
    """

    make_episode: Callable[[int], Episode]
    settings: GameSettings = field(default_factory=GameSettings)
    player: str = "human"
    opponent: Opponent | None = None
    on_record: Callable[[EpisodeRecord], None] = lambda record: None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.score = Scoreboard("you")
        self.opponent_score = Scoreboard(self.opponent.name) if self.opponent else None
        self.records: list[EpisodeRecord] = []
        self.opponent_records: list[EpisodeRecord] = []
        self.show_help = self.show_strip = self.finished = False
        self.num_unrecorded = 0
        self.problem = ""
        """Number of episodes that could not be recorded, and the reason; empty if there are none."""
        self.version = 0
        """Number that grows whenever the picture of the game changes."""
        self._held: list[str] = []  # keys that are held down, the latest last
        self._tapped_move = _STAY
        self._start()
        self.paused = self.episode.image_moves
        """True while a moving image stands still, as it does before the first start."""

    # ----------------------------------------------------------------------------------------------------- the phases

    def _start(self) -> None:
        self.episode = self.make_episode(self.settings.first_seed + len(self.records))
        self.choices = ChoiceKeys(self.episode.choice_names)
        self.gaze = self.episode.observation["location"].astype(np.float64)
        self.guess: int | None = None
        """The guess after the current glimpse, if one was given."""
        self._frame_time = 0.0
        self._last_response = self.clock()
        self._changed()

    @property
    def phase(self) -> str:
        """``"guess"``, a guess is due; ``"look"``; ``"answer"``, no glimpse is left; ``"move"``; or ``"review"``."""
        if self.episode.over:
            return "review"
        if self.episode.image_moves:
            return "move"
        if self.episode.glimpses_left == 0:
            return "answer"
        return "guess" if self.settings.guess_every_glimpse and self.guess is None else "look"

    def look(self) -> None:
        """Take a glimpse at the gaze. Ignored in other phases than ``"look"``."""
        if self.phase == "look":
            self._step(choice=self.guess or 0)
            self.guess = None

    def choose(self, choice: int) -> None:
        """Give a guess or the answer. An answer before the last glimpse gives up the glimpses that are left."""
        self.choices.clear()
        if self.phase == "guess":
            self.guess = choice
            self._changed()
        elif self.phase == "answer" or (self.phase == "look" and not self.settings.guess_every_glimpse):
            self.episode.answer(choice, self._response_time())
            self._finish()

    def next_episode(self) -> None:
        """Leave the review: start the next episode, or finish after the last one."""
        if self.phase != "review":
            return
        if len(self.records) == self.settings.num_episodes:
            self.finished = True
        else:
            self._start()

    def _step(self, choice: int) -> None:
        self.episode.step(self.gaze.astype(np.float32), choice, guess=self.guess, seconds=self._response_time())
        if self.episode.over:
            self._finish()
        self._changed()

    def _response_time(self) -> float:
        """Seconds since the last step."""
        now, before = self.clock(), self._last_response
        self._last_response = now
        return now - before

    def _finish(self) -> None:
        record = self.episode.record(self.player)
        self.records.append(record)
        self.score.add(record.success)
        self._save(record)
        if self.opponent and self.opponent_score:
            theirs = self.opponent.play(record.seed)
            self.opponent_records.append(theirs)
            self.opponent_score.add(theirs.success)
            self._save(theirs)
        self._changed()

    def _save(self, record: EpisodeRecord) -> None:
        try:
            self.on_record(record)
        except RecordError as error:  # a full disk, for example: the game continues, and shows the problem
            self.num_unrecorded += 1
            self.problem = f"{self.num_unrecorded} not recorded: {error}"

    def _changed(self) -> None:
        self.version += 1

    # ------------------------------------------------------------------------------------------------------- the input

    def point(self, location: tuple[float, float]) -> None:
        """Move the gaze to a location, clipped to [-1, 1]."""
        gaze = np.clip(np.array(location, np.float64), -1.0, 1.0)
        if (gaze != self.gaze).any() and self.phase in ("look", "guess", "move"):
            self.gaze = gaze
            self._changed()

    def click(self) -> None:
        """Handle a click: take the glimpse, start, or leave the review or the help."""
        if self.show_help:
            self._toggle("show_help")
        elif self.phase == "review":
            self.next_episode()
        elif self.phase == "move" and self.paused:
            self._toggle("paused")
        else:
            self.look()

    def press(self, key: str) -> None:
        """Handle a pressed key; names are those of ``pygame.key.name``. The help ignores keys that do not close it."""
        is_help = key == "f1" or (key == "h" and not self._is_typed(key))
        if is_help or self.show_help:
            if is_help or key in ("escape", "space", "return"):
                self._toggle("show_help")
        elif key == "tab":
            self._toggle("show_strip")
        elif self.phase == "review":
            if key in ("space", "return", "n"):
                self.next_episode()
        elif self.phase == "move":
            self._press_in_motion(key)
        elif (choice := self.choices.press(key)) is not None:
            self.choose(choice)
        elif key == "space":
            self.look()
        elif self._direction(key):
            self._hold(key)
        self._changed()

    def _press_in_motion(self, key: str) -> None:
        if key in ("p", "space"):
            self._toggle("paused")
        elif key in (".", "return") and self.paused:
            self._advance()
        else:
            self._tapped_move = _MOVES.get(key, self._tapped_move)
            self._hold(key)

    def _hold(self, key: str) -> None:
        self.release(key)
        self._held.append(key)

    def release(self, key: str) -> None:
        """Handle a released key."""
        if key in self._held:
            self._held.remove(key)

    def lose_focus(self) -> None:
        """Release all keys, since the window is not told when they go up, and pause a moving image."""
        self._held.clear()
        if self.phase == "move" and not self.paused:
            self._toggle("paused")

    def _is_typed(self, key: str) -> bool:
        """Return whether a key is a letter of a class name that is being typed."""
        return not self.episode.image_moves and self.choices.takes(key)

    def _toggle(self, name: str) -> None:
        setattr(self, name, not getattr(self, name))
        self._changed()

    def _direction(self, key: str) -> str | None:
        """Direction in which a key moves the gaze: W, A, S and D, and the arrows where these do not move a paddle."""
        if key in _WASD and not self._is_typed(key):
            return _WASD[key]
        return key if key in _DIRECTIONS and not self.episode.image_moves and not self.choices.is_list else None

    # -------------------------------------------------------------------------------------------------------- the time

    def tick(self, seconds: float) -> None:
        """Advance time: held keys move the gaze, and a moving image takes its next step when that is due."""
        if self.show_help or self.phase == "review":
            return
        for key in self._held:
            if direction := self._direction(key):
                x, y = _DIRECTIONS[direction]
                step = _GAZE_SPEED * min(seconds, 0.1)
                self.point((self.gaze[0] + x * step, self.gaze[1] + y * step))
        if self.phase == "move" and not self.paused:
            self._frame_time += min(seconds, 0.5)
            period = 1 / self.settings.pace
            if self._frame_time >= period:
                self._frame_time %= period  # keeps the pace, without a burst of steps after a delay
                self._advance()

    @property
    def is_animated(self) -> bool:
        """True if the picture changes with time, without new input."""
        return bool(self._held) or (self.phase == "move" and not self.paused and not self.show_help)

    def _advance(self) -> None:
        """Advance a moving image by one step. A tapped key moves the paddle once, a held key at every step."""
        held = [_MOVES[key] for key in self._held if key in _MOVES]
        self._step(held[-1] if held else self._tapped_move)
        self._tapped_move = _STAY
