"""Picture of a recorded episode after some steps: the gaze, the belief over classes, and where it may go next."""

from __future__ import annotations

import numpy as np
import pygame

from glimpse_gym.play.recording import EpisodeRecord
from glimpse_gym.play.view import describe_outcome
from glimpse_gym.rendering.drawing import (
    BORDER,
    MUTED_TEXT,
    SCALE_COLORS,
    SCENE_BACKGROUND,
    SUCCESS,
    TEXT,
    draw_progress,
    draw_text,
    fill_rectangle,
    new_surface,
    outcome_color,
)
from glimpse_gym.rendering.scene import Scene

DESIGN_SIZE = (960, 640)
"""Size in which the sizes below are meant, in pixels."""
_HEADER, _FOOTER, _MARGIN, _PANEL, _MAX_BARS = 76, 48, 20, 320, 12
_HELP = "space run or stop   left, right step   up, down episode   escape close"


def draw_record(
    record: EpisodeRecord, step: int, size: tuple[int, int], running: bool = False, show_help: bool = False
) -> pygame.Surface:
    """Draw a record after some of its steps.

    Args:
        record: the episode.
        step: from 0, the first glimpse only, to the number of steps, with the answer and its outcome.
        size: width and height of the picture.
        running: whether the steps follow each other by themselves, for the hint.
        show_help: show the keys.
    """
    width, height = max(size[0], 64), max(size[1], 64)
    unit = min(width / DESIGN_SIZE[0], height / DESIGN_SIZE[1])
    surface = new_surface((width, height))
    margin, header, footer = (max(round(length * unit), 1) for length in (_MARGIN, _HEADER, _FOOTER))
    body = pygame.Rect(margin, header, width - 2 * margin, max(height - header - footer, 16))
    panel_width = min(round(_PANEL * unit), body.width // 2)
    scene = pygame.Rect(body.left, body.top, body.width - panel_width - margin, body.height)
    panel = pygame.Rect(scene.right + margin, body.top, panel_width, body.height)
    _draw_header(surface, record, step, unit, margin)
    _draw_scene(surface, record, step, scene, unit)
    if record.guess_probs is not None:
        _draw_belief(surface, record, step, panel, unit)
    hint = _HELP if show_help else "H help" if running else "stopped: space to run, right arrow for one step"
    baseline = height - round(18 * unit)
    draw_text(surface, hint, (margin, baseline), max(round(16 * unit), 1), MUTED_TEXT, max_width=width - 2 * margin)
    return surface


def _draw_header(surface: pygame.Surface, record: EpisodeRecord, step: int, unit: float, margin: int) -> None:
    size, baseline, right = max(round(20 * unit), 1), round(38 * unit), surface.get_width() - margin
    count, noun = (step, "frame") if record.image_moves else (_num_glimpses(record, step), "glimpse")
    total = record.num_steps if record.image_moves else record.num_glimpses
    x = margin + draw_text(surface, record.player, (margin, baseline), size, TEXT) + round(20 * unit)
    x += draw_text(surface, noun, (x, baseline), size, MUTED_TEXT) + round(8 * unit)
    x += draw_text(surface, f"{count} / {total}", (x, baseline), size, TEXT) + round(20 * unit)
    if step == record.num_steps:
        text, color = describe_outcome(record), outcome_color(record.success)
    else:
        text, color = f"seed {record.seed}", MUTED_TEXT
    draw_text(surface, text, (right, baseline), size, color, "right", max_width=max(right - x, 8))
    draw_progress(surface, pygame.Rect(margin, round(52 * unit), right - margin, max(round(6 * unit), 1)), count, total)


def _draw_scene(surface: pygame.Surface, record: EpisodeRecord, step: int, area: pygame.Rect, unit: float) -> None:
    """Draw the image, dimmed where it was not seen, the gaze, and the distribution of the next location."""
    num_glimpses = _num_glimpses(record, step)
    locations = record.locations[:num_glimpses]
    image = record.images[min(step, len(record.images) - 1)]
    side = max(min(area.width, area.height), 24)
    margin = max(side // 20, 2)
    scene = Scene(image, record.retina, locations[-1:] if record.image_moves else locations, side - 2 * margin, margin)
    scene.draw_patches(locations[-1], max(round(2 * unit), 1))
    scene.draw_scanpath(locations, max(4 * unit, 1), 0.35 if record.image_moves else 0.9)
    is_choosing = step < (record.num_steps if record.image_moves else record.num_glimpses - 1)
    if is_choosing and record.location_means is not None and record.location_std is not None:
        scene.draw_location_distribution(record.location_means[step], record.location_std)
    surface.blit(scene.surface, scene.surface.get_rect(center=area.center))


def _draw_belief(surface: pygame.Surface, record: EpisodeRecord, step: int, area: pygame.Rect, unit: float) -> None:
    """Draw the probabilities of the classes or moves as bars; the true class is marked at the end."""
    assert record.guess_probs is not None
    probs = record.guess_probs[min(step, record.num_steps - 1)]
    shown = np.sort(np.argsort(-probs, kind="stable")[:_MAX_BARS])  # the most probable ones, in their usual order
    row = min(round(40 * unit), area.height // max(len(shown) + 1, 1))
    size, gap = max(round(16 * unit), 1), max(round(4 * unit), 1)
    title = "probability of each move" if record.image_moves else "belief after this glimpse"
    draw_text(surface, title, (area.left, area.top + size), size, MUTED_TEXT, max_width=area.width)
    name_width, value_width = round(area.width * 0.3), round(area.width * 0.2)
    bar_width = max(area.width - name_width - value_width - 2 * gap, 1)
    for i, choice in enumerate(shown):
        top = area.top + (i + 1) * row
        baseline = top + row // 2 + size // 3
        best = choice == probs.argmax()
        is_truth = step == record.num_steps and choice == record.label
        name = record.choice_names[choice] + (" (true)" if is_truth else "")
        color = SUCCESS if is_truth else TEXT if best else MUTED_TEXT
        draw_text(surface, name, (area.left, baseline), size, color, max_width=name_width)
        bar = pygame.Rect(area.left + name_width + gap, top + row // 4, bar_width, max(row // 2, 1))
        fill_rectangle(surface, bar, SCENE_BACKGROUND, corner_radius=gap)
        filled = bar.copy()
        filled.width = max(round(bar.width * float(probs[choice])), 1)
        fill_rectangle(surface, filled, SCALE_COLORS[0] if best else BORDER, corner_radius=gap)
        draw_text(surface, f"{probs[choice]:.0%}", (area.right, baseline), size, color, "right", max_width=value_width)


def _num_glimpses(record: EpisodeRecord, step: int) -> int:
    """Number of glimpses taken after some steps."""
    return min(step + 1, record.num_steps + 1 if record.image_moves else record.num_glimpses)
