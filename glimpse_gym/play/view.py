"""Picture of a person's game: what the retina senses, the gaze, a scoreboard, and the whole image after the episode."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
import pygame

from glimpse_gym.play.game import Game, Scoreboard
from glimpse_gym.play.recording import EpisodeRecord
from glimpse_gym.rendering.drawing import (
    BACKGROUND,
    BORDER,
    FAILURE,
    MUTED_TEXT,
    SCALE_COLORS,
    SCENE_BACKGROUND,
    SUCCESS,
    TEXT,
    Color,
    draw_progress,
    draw_rectangle,
    draw_text,
    fill_rectangle,
    new_surface,
    outcome_color,
)
from glimpse_gym.rendering.frames import draw_glimpse_panel
from glimpse_gym.rendering.scene import GlimpseView, ImageView, Scene

DESIGN_SIZE = (960, 640)
"""Size in which the sizes below are meant, in pixels; a window of another size is scaled."""
_HEADER, _FOOTER, _MARGIN, _PANEL = 76, 48, 20, 300
_MEMORY_FADE = 0.85  # brightness of a remembered glimpse, from each glimpse to the one before
_MEMORY_FADE_MOVING = 0.5  # the same where the image has changed since
_MAX_MEMORY_MOVING = 4

_HELP = {
    "look": (
        ("mouse", "move the retina"),
        ("click", "take the glimpse"),
        ("W A S D or arrows", "move the retina without a mouse"),
        ("space", "take the glimpse"),
    ),
    "digits": (("0 to 9", "answer"),),
    "list": (("type, up, down, return", "choose the answer from the list"), ("click on a name", "answer")),
    "move": (
        ("mouse or W A S D", "move the retina"),
        ("left and right arrow", "move the paddle"),
        ("P or space", "pause and continue"),
        (". or return", "one step while paused"),
    ),
    "all": (
        ("tab", "show the glimpse alone"),
        ("escape", "close"),
    ),
}


class GameView:
    """Draws a game, at any size.

    Args:
        game: what to draw.
    """

    def __init__(self, game: Game) -> None:
        self._game = game
        self._memory: tuple[object, ImageView] | None = None
        self._scene_rect = pygame.Rect(0, 0, 1, 1)
        self._image_view: ImageView | None = None
        self._rows: list[tuple[pygame.Rect, int]] = []
        self._unit = 1.0

    def location_at(self, position: tuple[float, float]) -> tuple[float, float] | None:
        """Location in the image under a position of the picture, clipped to [-1, 1]; None far from the image."""
        if self._image_view is None or not self._scene_rect.collidepoint(position):
            return None
        x, y = self._image_view.to_location(
            (position[0] - self._scene_rect.left, position[1] - self._scene_rect.top)
        ).tolist()
        return x, y

    def choice_at(self, position: tuple[float, float]) -> int | None:
        """Choice whose name in the list is under a position of the picture."""
        return next((choice for rect, choice in self._rows if rect.collidepoint(position)), None)

    def draw(self, size: tuple[int, int]) -> pygame.Surface:
        """Draw the game in a picture of this size."""
        width, height = max(size[0], 64), max(size[1], 64)
        self._unit = min(width / DESIGN_SIZE[0], height / DESIGN_SIZE[1])
        surface = new_surface((width, height))
        self._rows = []
        body = pygame.Rect(
            self._px(_MARGIN),
            self._px(_HEADER),
            width - 2 * self._px(_MARGIN),
            max(height - self._px(_HEADER) - self._px(_FOOTER), 16),
        )
        self._draw_header(surface)
        if self._game.phase == "review":
            self._draw_review(surface, body)
        else:
            self._draw_play(surface, body)
        self._draw_footer(surface)
        if self._game.show_help:
            self._draw_help(surface)
        return surface

    def _px(self, length: float) -> int:
        """Design pixels to pixels of the picture, at least 1."""
        return max(round(length * self._unit), 1)

    def _text(
        self,
        surface: pygame.Surface,
        text: str,
        x: float,
        baseline: float,
        size: float = 16,
        color: Color = TEXT,
        align: str = "left",
        max_width: float | None = None,
    ) -> int:
        return draw_text(surface, text, (x, baseline), self._px(size), color, align, max_width)

    # ----------------------------------------------------------------------------------------------- header and footer

    def _draw_header(self, surface: pygame.Surface) -> None:
        game, episode, margin = self._game, self._game.episode, self._px(_MARGIN)
        right, baseline = surface.get_width() - margin, self._px(38)
        noun, total = ("frame", "num_glimpses") if episode.image_moves else ("glimpse", "num_glimpses")
        limit = int(episode.env.metadata[total])
        count = episode.num_steps if episode.image_moves else episode.num_glimpses
        x = margin + self._text(surface, noun, margin, baseline, 20, MUTED_TEXT) + self._px(8)
        x += self._text(surface, f"{count} / {limit}", x, baseline, 20) + self._px(16)
        if game.paused:
            x += self._text(surface, "paused", x, baseline, 20, SCALE_COLORS[0])
        scores = [game.score] + ([game.opponent_score] if game.opponent_score else [])
        texts = [_score_text(score) for score in scores]
        if len(scores) > 1 and scores[0].episodes:
            texts.append(leader(scores))
        self._text(surface, "  ·  ".join(texts), right, baseline, 18, align="right", max_width=right - x - self._px(8))
        bar = pygame.Rect(margin, self._px(52), right - margin, self._px(6))
        draw_progress(surface, bar, count, limit)

    def _draw_footer(self, surface: pygame.Surface) -> None:
        game, margin = self._game, self._px(_MARGIN)
        baseline, width = surface.get_height() - self._px(18), surface.get_width() - 2 * margin
        if game.problem:
            self._text(surface, game.problem, margin, baseline, 16, FAILURE, max_width=width)
            return
        help_width = self._text(surface, f"{self._help_key} help", margin + width, baseline, 16, MUTED_TEXT, "right")
        self._text(surface, self._hint(), margin, baseline, 16, max_width=width - help_width - self._px(16))

    @property
    def _help_key(self) -> str:
        """H, unless letters are typed to choose a class."""
        return "F1" if self._game.choices.is_list and not self._game.episode.image_moves else "H"

    def _hint(self) -> str:
        game = self._game
        answer = "choose from the list" if game.choices.is_list else "press 0 to 9"
        return {
            "look": "Click where to look next"
            + ("" if game.settings.guess_every_glimpse else f"; {answer} as soon as you know what it is"),
            "guess": f"Your guess so far: {answer}",
            "answer": f"No glimpse is left. What is it? {answer.capitalize()}",
            "move": "Click or press space to start"
            if game.paused and game.episode.num_steps == 0
            else "Look with the mouse, move the paddle with the left and right arrow keys",
            "review": "Click or press space to continue",
        }[game.phase]

    # -------------------------------------------------------------------------------------------------------- the game

    def _draw_play(self, surface: pygame.Surface, body: pygame.Rect) -> None:
        game = self._game
        panel_width = min(self._px(_PANEL), body.width // 3)
        scene = pygame.Rect(body.left, body.top, body.width - panel_width - self._px(_MARGIN), body.height)
        panel = pygame.Rect(scene.right + self._px(_MARGIN), body.top, panel_width, body.height - self._px(24))
        if game.show_strip:
            self._image_view = None
            self._draw_glimpse(surface, scene)
        else:
            view = self._remembered(min(scene.width, scene.height))
            self._scene_rect = view.surface.get_rect(center=scene.center)
            self._image_view = view
            if game.phase in ("look", "guess", "move"):
                view = copy(view)  # keeps the remembered glimpses clean
                view.surface = view.surface.copy()
                view.draw_patches(game.gaze.astype(np.float32), self._px(2))
            surface.blit(view.surface, self._scene_rect)
        if game.choices.is_list and not game.episode.image_moves:
            self._draw_list(surface, panel)
        elif not game.show_strip:
            self._draw_glimpse(surface, panel)
        if game.records:
            text = f"last: {describe_outcome(game.records[-1])}"
            color, baseline = outcome_color(game.records[-1].success), body.bottom + self._px(2)
            self._text(surface, text, panel.right, baseline, 15, color, "right", max_width=panel.width)

    def _remembered(self, side: int) -> ImageView:
        """The glimpses so far, drawn anew only when one was added or the size has changed."""
        episode = self._game.episode
        key = (id(episode), episode.num_steps, side)
        if self._memory is None or self._memory[0] != key:
            observations = episode.observations[: episode.num_glimpses]
            fade = _MEMORY_FADE
            if episode.image_moves:
                observations, fade = episode.observations[-_MAX_MEMORY_MOVING:], _MEMORY_FADE_MOVING
            glimpses = np.stack([observation["glimpse"] for observation in observations])
            if episode.image_moves:  # a single bright pixel stays visible in coarse cells
                glimpses = np.sqrt(glimpses)
            locations = np.stack([observation["location"] for observation in observations])
            margin = max(side // 20, 2)
            image_size = (int(episode.image.shape[0]), int(episode.image.shape[1]))
            max_side = max(side - 2 * margin, 8)
            view = GlimpseView(image_size, episode.env.retina, glimpses, locations, max_side, margin, fade)
            self._memory = key, view
        return self._memory[1]

    def _draw_glimpse(self, surface: pygame.Surface, area: pygame.Rect) -> None:
        """Draw the present glimpse alone, a square per scale."""
        episode = self._game.episode
        glimpse = episode.observation["glimpse"]
        panel = draw_glimpse_panel(
            np.sqrt(glimpse) if episode.image_moves else glimpse, episode.env.retina, max(area.height, 32), self._unit
        )
        scale = min(area.width / panel.get_width(), area.height / panel.get_height(), 1.0)
        if scale < 1.0:
            size = max(int(panel.get_width() * scale), 1), max(int(panel.get_height() * scale), 1)
            panel = pygame.transform.smoothscale(panel, size)
        surface.blit(panel, panel.get_rect(center=area.center))

    def _draw_list(self, surface: pygame.Surface, area: pygame.Rect) -> None:
        """Draw the list of classes, filtered by what was typed."""
        choices, row_height = self._game.choices, self._px(26)
        text = choices.filter or "type to filter"
        color = TEXT if choices.filter else MUTED_TEXT
        fill_rectangle(surface, pygame.Rect(area.left, area.top, area.width, row_height), SCENE_BACKGROUND)
        self._text(
            surface, text, area.left + self._px(8), area.top + self._px(19), 16, color, max_width=area.width - 16
        )
        matches, num_rows = choices.matches, max((area.height - 2 * row_height) // row_height, 1)
        first = max(min(choices.selected - num_rows // 2, len(matches) - num_rows), 0)
        for i, choice in enumerate(matches[first : first + num_rows]):
            rect = pygame.Rect(area.left, area.top + (i + 1) * row_height + self._px(6), area.width, row_height)
            if first + i == choices.selected:
                fill_rectangle(surface, rect, BORDER, corner_radius=self._px(4))
            x, baseline = rect.left + self._px(8), rect.top + self._px(19)
            self._text(surface, choices.names[choice], x, baseline, 16, max_width=rect.width - self._px(16))
            self._rows.append((rect, choice))

    # ------------------------------------------------------------------------------------------------------ the review

    def _draw_review(self, surface: pygame.Surface, body: pygame.Rect) -> None:
        """Draw the whole image with the scan path of each player side by side."""
        game = self._game
        self._image_view = None
        shown: list[tuple[str, EpisodeRecord]] = [("you", game.records[-1])]
        if game.opponent and game.opponent_records:
            shown.append((game.opponent.name, game.opponent_records[-1]))
        width = (body.width - (len(shown) - 1) * self._px(_MARGIN)) // len(shown)
        for i, (name, record) in enumerate(shown):
            area = pygame.Rect(body.left + i * (width + self._px(_MARGIN)), body.top, width, body.height)
            self._draw_record(surface, area, name, record)

    def _draw_record(self, surface: pygame.Surface, area: pygame.Rect, name: str, record: EpisodeRecord) -> None:
        caption_height = self._px(36)
        side = max(min(area.width, area.height - caption_height), 24)
        margin = max(side // 20, 2)
        seen = record.fixations[-1:] if record.image_moves else record.fixations
        scene = Scene(record.image, record.retina, seen, max(side - 2 * margin, 8), margin)
        if record.image_moves:
            scene.draw_scanpath(record.fixations, self._px(4), 0.6)
        else:
            scene.draw_numbered_scanpath(record.fixations, self._px(8), self._px(1))
        rect = scene.surface.get_rect(midtop=(area.centerx, area.top))
        surface.blit(scene.surface, rect)
        draw_rectangle(surface, rect, outcome_color(record.success), self._px(2))
        text = f"{name}: {describe_outcome(record)}"
        color = SUCCESS if record.success else FAILURE
        baseline = rect.bottom + self._px(25)
        self._text(surface, text, area.centerx, baseline, 19, color, "center", max_width=area.width)

    # -------------------------------------------------------------------------------------------------------- the help

    def _draw_help(self, surface: pygame.Surface) -> None:
        game = self._game
        sections = ["move"] if game.episode.image_moves else ["look", "list" if game.choices.is_list else "digits"]
        lines = [line for section in (*sections, "all") for line in _HELP[section]]
        lines.append((self._help_key, "open and close this help"))
        width, height = self._px(640), self._px(90 + 32 * len(lines))
        box = pygame.Rect(0, 0, min(width, surface.get_width()), min(height, surface.get_height()))
        box.center = surface.get_rect().center
        fill_rectangle(surface, surface.get_rect(), BACKGROUND, 0.7)
        fill_rectangle(surface, box, SCENE_BACKGROUND, 0.97, self._px(10))
        self._text(surface, "Help", box.left + self._px(28), box.top + self._px(44), 24)
        for i, (keys, meaning) in enumerate(lines):
            baseline = box.top + self._px(86 + 32 * i)
            self._text(surface, keys, box.left + self._px(28), baseline, 17, SCALE_COLORS[0], max_width=self._px(280))
            self._text(surface, meaning, box.left + self._px(320), baseline, 17, max_width=self._px(300))


def describe_outcome(record: EpisodeRecord) -> str:
    """Answer and truth of a record in words."""
    glimpses = f"{record.num_glimpses} glimpse{'s' if record.num_glimpses > 1 else ''}"
    if record.label < 0:
        return record.outcome
    answer, truth = record.choice_names[int(record.choices[-1])], record.choice_names[record.label]
    if record.success:
        return f"{answer}, {record.outcome}, after {glimpses}"
    return f"{answer}, {record.outcome}: it is {truth}, after {glimpses}"


def _score_text(score: Scoreboard) -> str:
    streak = f", streak {score.streak}" if score.streak > 1 else ""
    return f"{score.name} {score.successes} / {score.episodes}{streak}"


def leader(scores: Sequence[Scoreboard]) -> str:
    """Who is ahead, in words."""
    best = max(score.successes for score in scores)
    names = [score.name for score in scores if score.successes == best]
    return f"{names[0]} ahead" if len(names) == 1 else "level"
