"""Picture of a game: the glimpses, the gaze and a scoreboard; after an episode, the whole image with scanpaths."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
import pygame

from glimpse_gym.play.episode_record import EpisodeRecord
from glimpse_gym.play.game import Game, Scoreboard
from glimpse_gym.play.layout import MARGIN, Layout
from glimpse_gym.rendering.appearance import (
    BACKGROUND,
    BORDER,
    FAILURE,
    MAX_MEMORY_MOVING,
    MEMORY_FADE,
    MEMORY_FADE_MOVING,
    MUTED_TEXT,
    SCALE_COLORS,
    SCENE_BACKGROUND,
    TEXT,
)
from glimpse_gym.rendering.drawing import Point, Size, draw_rectangle, fill_rectangle, outcome_color
from glimpse_gym.rendering.frames import draw_glimpse_panel
from glimpse_gym.rendering.scene import GlimpseView, ImageView, Scene

_PANEL, _MAX_PANEL = 300, 1 / 3  # width of the panel at the right, and the largest fraction of the body it takes

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
    """View of a game, drawn at the size of its window.

    Args:
        game: the game.
    """

    def __init__(self, game: Game) -> None:
        self._game = game
        self._memory: tuple[object, ImageView] | None = None  # the glimpses so far, and the key of their drawing
        self._scene_rect = pygame.Rect(0, 0, 1, 1)
        self._image_view: ImageView | None = None
        self._list_rect = pygame.Rect(0, 0, 0, 0)
        self._rows: list[tuple[pygame.Rect, int]] = []

    def location_at(self, position: Point) -> tuple[float, float] | None:
        """Location in the image under a position of the picture, clipped to [-1, 1]; None outside the scene."""
        if self._image_view is None or not self._scene_rect.collidepoint(position):
            return None
        x, y = self._image_view.to_location(
            (position[0] - self._scene_rect.left, position[1] - self._scene_rect.top)
        ).tolist()
        return x, y

    def in_list(self, position: Point) -> bool:
        """Return whether a position of the picture is in the list of classes."""
        return self._list_rect.collidepoint(position)

    def choice_at(self, position: Point) -> int | None:
        """Choice whose name in the list is under a position of the picture; None if there is none."""
        return next((choice for rect, choice in self._rows if rect.collidepoint(position)), None)

    def draw(self, size: Size) -> pygame.Surface:
        """Draw the game at a size in pixels, at least 64 x 64."""
        layout = Layout(size)
        self._list_rect, self._rows = pygame.Rect(0, 0, 0, 0), []
        self._draw_header(layout)
        if self._game.phase == "review":
            self._draw_review(layout)
        else:
            self._draw_play(layout)
        self._draw_footer(layout)
        if self._game.show_help:
            self._draw_help(layout)
        return layout.surface

    # ----------------------------------------------------------------------------------------------- header and footer

    def _draw_header(self, layout: Layout) -> None:
        game, episode, baseline = self._game, self._game.episode, layout.baseline
        noun, count = ("frame", episode.num_steps) if episode.image_moves else ("glimpse", episode.num_glimpses)
        x = layout.draw_count(noun, count, int(episode.env.metadata["num_glimpses"]), layout.left)
        if game.paused:
            x += layout.text("paused", x, baseline, 20, SCALE_COLORS[0])
        scores = [game.score] + ([game.opponent_score] if game.opponent_score else [])
        texts = [_score_text(score) for score in scores]
        if len(scores) > 1 and scores[0].episodes:
            texts.append(leader(scores))
        max_width = layout.right - x - layout.px(8)
        layout.text("  ·  ".join(texts), layout.right, baseline, 18, align="right", max_width=max_width)

    def _draw_footer(self, layout: Layout) -> None:
        baseline, width = layout.footer_baseline, layout.right - layout.left
        if self._game.problem:
            layout.text(self._game.problem, layout.left, baseline, 16, FAILURE, max_width=width)
            return
        help_width = layout.text(f"{self._help_key} help", layout.right, baseline, 16, MUTED_TEXT, "right")
        layout.text(self._hint(), layout.left, baseline, 16, max_width=width - help_width - layout.px(16))

    @property
    def _help_key(self) -> str:
        """H, unless letters are typed to choose a class."""
        return "F1" if self._game.choices.is_list and not self._game.episode.image_moves else "H"

    def _hint(self) -> str:
        game = self._game
        if game.show_strip and game.phase == "look":
            return "The glimpse alone: press tab to look again"
        answer = "choose from the list" if game.choices.is_list else "press 0 to 9"
        return {
            "look": "Click where to look next"
            + ("" if game.settings.guess_every_glimpse else f"; {answer} as soon as you know what it is"),
            "guess": f"Your guess so far: {answer}",
            "answer": f"No glimpse is left. What is it? {answer.capitalize()}",
            "move": "Click or press space to start"
            if game.paused and game.episode.num_steps == 0
            else "Paused: click or press space to continue"
            if game.paused
            else "Look with the mouse, move the paddle with the left and right arrow keys",
            "review": "Click or press space to continue",
        }[game.phase]

    # -------------------------------------------------------------------------------------------------------- the game

    def _draw_play(self, layout: Layout) -> None:
        game = self._game
        scene, panel = layout.split_body(_PANEL, _MAX_PANEL)
        panel.height -= layout.px(24)  # for the last outcome
        if game.show_strip:
            self._image_view = None
            self._draw_glimpse(layout, scene)
        else:
            self._draw_scene(layout, scene)
        if game.choices.is_list and not game.episode.image_moves:
            self._draw_list(layout, panel)
        elif not game.show_strip:
            self._draw_glimpse(layout, panel)
        if game.records:
            text, color = f"last: {describe_outcome(game.records[-1])}", outcome_color(game.records[-1].success)
            baseline = layout.body.bottom + layout.px(2)
            layout.text(text, panel.right, baseline, 15, color, "right", max_width=panel.width)

    def _draw_scene(self, layout: Layout, area: pygame.Rect) -> None:
        """Draw the remembered glimpses, and the outlines of the patches at the gaze."""
        view = self._remembered(min(area.size))
        self._scene_rect = view.surface.get_rect(center=area.center)
        self._image_view = view
        if self._game.phase in ("look", "guess", "move"):
            view = copy(view)  # keeps the remembered glimpses clean
            view.surface = view.surface.copy()
            view.draw_patches(self._game.gaze.astype(np.float32), layout.px(2))
        layout.surface.blit(view.surface, self._scene_rect)

    def _remembered(self, side: int) -> ImageView:
        """View of the glimpses so far, redrawn only when a glimpse was added or the size has changed."""
        episode = self._game.episode
        key = episode, episode.num_steps, side
        if self._memory is None or self._memory[0] != key:
            observations = episode.observations[: episode.num_glimpses]
            fade = MEMORY_FADE
            if episode.image_moves:
                observations, fade = episode.observations[-MAX_MEMORY_MOVING:], MEMORY_FADE_MOVING
            glimpses = np.stack([observation["glimpse"] for observation in observations])
            if episode.image_moves:  # a single bright pixel stays visible in coarse cells
                glimpses = np.sqrt(glimpses)
            locations = np.stack([observation["location"] for observation in observations])
            margin = max(side // 20, 2)
            max_side = max(side - 2 * margin, 8)
            view = GlimpseView(episode.image_size, episode.env.retina, glimpses, locations, max_side, margin, fade)
            self._memory = key, view
        return self._memory[1]

    def _draw_glimpse(self, layout: Layout, area: pygame.Rect) -> None:
        """Draw the current glimpse alone, one square per scale."""
        episode = self._game.episode
        glimpse = episode.observation["glimpse"]
        panel = draw_glimpse_panel(
            np.sqrt(glimpse) if episode.image_moves else glimpse, episode.env.retina, max(area.height, 32), layout.unit
        )
        scale = min(area.width / panel.get_width(), area.height / panel.get_height(), 1.0)
        if scale < 1.0:
            size = max(int(panel.get_width() * scale), 1), max(int(panel.get_height() * scale), 1)
            panel = pygame.transform.smoothscale(panel, size)
        layout.surface.blit(panel, panel.get_rect(center=area.center))

    def _draw_list(self, layout: Layout, area: pygame.Rect) -> None:
        """Draw the list of classes, filtered by what was typed."""
        choices, row_height, gap = self._game.choices, layout.px(26), layout.px(8)
        self._list_rect = area
        head = pygame.Rect(area.left, area.top, area.width, row_height)
        fill_rectangle(layout.surface, head, SCENE_BACKGROUND)
        text, color = (choices.filter, TEXT) if choices.filter else ("type to filter", MUTED_TEXT)
        layout.text(text, area.left + gap, area.top + layout.px(19), 16, color, max_width=area.width - 2 * gap)
        matches, num_rows = choices.matches, max((area.height - 2 * row_height) // row_height, 1)
        first = max(min(choices.selected - num_rows // 2, len(matches) - num_rows), 0)
        for i, choice in enumerate(matches[first : first + num_rows]):
            rect = head.move(0, (i + 1) * row_height + layout.px(6))
            if first + i == choices.selected:
                fill_rectangle(layout.surface, rect, BORDER, corner_radius=layout.px(4))
            baseline = rect.top + layout.px(19)
            layout.text(choices.names[choice], rect.left + gap, baseline, 16, max_width=rect.width - 2 * gap)
            self._rows.append((rect, choice))

    # ------------------------------------------------------------------------------------------------------ the review

    def _draw_review(self, layout: Layout) -> None:
        """Draw the whole image with the scanpath of each player side by side."""
        game, body, gap = self._game, layout.body, layout.px(MARGIN)
        self._image_view = None
        shown: list[tuple[str, EpisodeRecord]] = [("you", game.records[-1])]
        if game.opponent and game.opponent_records:
            shown.append((game.opponent.name, game.opponent_records[-1]))
        width = (body.width - (len(shown) - 1) * gap) // len(shown)
        for i, (name, record) in enumerate(shown):
            area = pygame.Rect(body.left + i * (width + gap), body.top, width, body.height)
            _draw_outcome(layout, area, name, record)

    # -------------------------------------------------------------------------------------------------------- the help

    def _draw_help(self, layout: Layout) -> None:
        game, surface = self._game, layout.surface
        sections = ["move"] if game.episode.image_moves else ["look", "list" if game.choices.is_list else "digits"]
        lines = [line for section in (*sections, "all") for line in _HELP[section]]
        lines.append((self._help_key, "open and close this help"))
        box = pygame.Rect(0, 0, layout.px(640), layout.px(90 + 32 * len(lines)))
        box.size = min(box.width, surface.get_width()), min(box.height, surface.get_height())
        box.center = surface.get_rect().center
        fill_rectangle(surface, surface.get_rect(), BACKGROUND, 0.7)
        fill_rectangle(surface, box, SCENE_BACKGROUND, 0.97, layout.px(10))
        layout.text("Help", box.left + layout.px(28), box.top + layout.px(44), 24)
        for i, (keys, meaning) in enumerate(lines):
            baseline = box.top + layout.px(86 + 32 * i)
            keys_x, meaning_x = box.left + layout.px(28), box.left + layout.px(320)
            layout.text(keys, keys_x, baseline, 17, SCALE_COLORS[0], max_width=layout.px(280))
            layout.text(meaning, meaning_x, baseline, 17, max_width=layout.px(300))


def _draw_outcome(layout: Layout, area: pygame.Rect, name: str, record: EpisodeRecord) -> None:
    """Draw the whole image of a finished episode with its scanpath, framed and captioned by the outcome."""
    side = max(min(area.width, area.height - layout.px(36)), 24)
    margin = max(side // 20, 2)
    seen = record.fixations[-1:] if record.image_moves else record.fixations
    scene = Scene(record.image, record.retina, seen, max(side - 2 * margin, 8), margin, image_size=record.image_size)
    if record.image_moves:
        scene.draw_scanpath(record.fixations, layout.px(4), 0.6)
    else:
        scene.draw_numbered_scanpath(record.fixations, layout.px(8), layout.px(1))
    rect, color = scene.surface.get_rect(midtop=(area.centerx, area.top)), outcome_color(record.success)
    layout.surface.blit(scene.surface, rect)
    draw_rectangle(layout.surface, rect, color, layout.px(2))
    text, baseline = f"{name}: {describe_outcome(record)}", rect.bottom + layout.px(25)
    layout.text(text, area.centerx, baseline, 19, color, "center", max_width=area.width)


def describe_outcome(record: EpisodeRecord) -> str:
    """Answer, true label and number of glimpses of a record, as text."""
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
    """Name of the player who is ahead, as text; ``"level"`` if nobody is."""
    best = max(score.successes for score in scores)
    names = [score.name for score in scores if score.successes == best]
    return f"{names[0]} ahead" if len(names) == 1 else "level"
