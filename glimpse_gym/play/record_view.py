"""Picture of a recorded episode after some steps: the gaze, class probabilities and next-location distribution."""

from __future__ import annotations

import numpy as np
import pygame

from glimpse_gym.play.episode_record import EpisodeRecord
from glimpse_gym.play.layout import Layout
from glimpse_gym.play.view import describe_outcome
from glimpse_gym.rendering.appearance import BORDER, MUTED_TEXT, SCALE_COLORS, SCENE_BACKGROUND, SUCCESS, TEXT
from glimpse_gym.rendering.drawing import Size, fill_rectangle, outcome_color
from glimpse_gym.rendering.scene import Scene

_PANEL, _MAX_PANEL = 320, 1 / 2  # width of the panel at the right, and the largest fraction of the body it takes
_MAX_BARS = 12


def draw_record(record: EpisodeRecord, step: int, size: Size, hint: str = "") -> pygame.Surface:
    """Draw a record after some of its steps.

    Args:
        record: the episode.
        step: from 0, the first glimpse only, to the number of steps, with the answer and its outcome.
        size: width and height of the picture in pixels, at least 64 x 64.
        hint: line of text at the bottom.
    """
    layout = Layout(size)
    scene, panel = layout.split_body(_PANEL, _MAX_PANEL)
    _draw_header(layout, record, step)
    _draw_scene(layout, record, step, scene)
    if record.guess_probs is not None:
        _draw_probs(layout, record.guess_probs[min(step, record.num_steps - 1)], record, step, panel)
    layout.text(hint, layout.left, layout.footer_baseline, 16, MUTED_TEXT, max_width=layout.right - layout.left)
    return layout.surface


def _draw_header(layout: Layout, record: EpisodeRecord, step: int) -> None:
    noun, count, total = "glimpse", _num_glimpses(record, step), record.num_glimpses
    if record.image_moves:
        noun, count, total = "frame", step, record.num_steps
    x = layout.left + layout.text(record.player, layout.left, layout.baseline, 20) + layout.px(20)
    x = layout.draw_count(noun, count, total, x)
    text, color = f"seed {record.seed}", MUTED_TEXT
    if step == record.num_steps:
        text, color = describe_outcome(record), outcome_color(record.success)
    layout.text(text, layout.right, layout.baseline, 20, color, "right", max_width=max(layout.right - x, 8))


def _draw_scene(layout: Layout, record: EpisodeRecord, step: int, area: pygame.Rect) -> None:
    """Draw the image, dimmed where it was not seen, the gaze, and the distribution of the next location."""
    locations = record.locations[: _num_glimpses(record, step)]
    image = record.images[min(step, len(record.images) - 1)]
    side = max(min(area.size), 24)
    margin = max(side // 20, 2)
    seen = locations[-1:] if record.image_moves else locations
    scene = Scene(image, record.retina, seen, side - 2 * margin, margin, image_size=record.image_size)
    scene.draw_patches(locations[-1], layout.px(2))
    scene.draw_scanpath(locations, max(4 * layout.unit, 1), 0.35 if record.image_moves else 0.9)
    is_choosing = step < (record.num_steps if record.image_moves else record.num_glimpses - 1)
    if is_choosing and record.location_means is not None and record.location_std is not None:
        scene.draw_location_distribution(record.location_means[step], record.location_std)
    layout.surface.blit(scene.surface, scene.surface.get_rect(center=area.center))


def _draw_probs(layout: Layout, probs: np.ndarray, record: EpisodeRecord, step: int, area: pygame.Rect) -> None:
    """Draw the probabilities of the classes or moves, float (K,), as bars; the true class is marked at the end."""
    shown = np.sort(np.argsort(-probs, kind="stable")[:_MAX_BARS])  # the most probable ones, in their usual order
    row = min(layout.px(40), area.height // (len(shown) + 1))
    size, gap = layout.px(16), layout.px(4)
    title = "probability of each move" if record.image_moves else "belief after this glimpse"
    layout.text(title, area.left, area.top + size, 16, MUTED_TEXT, max_width=area.width)
    name_width, value_width = round(area.width * 0.3), round(area.width * 0.2)
    bar_width = max(area.width - name_width - value_width - 2 * gap, 1)
    for i, choice in enumerate(shown):
        top = area.top + (i + 1) * row
        baseline = top + row // 2 + size // 3
        best = choice == probs.argmax()
        is_truth = step == record.num_steps and choice == record.label
        name = record.choice_names[choice] + (" (true)" if is_truth else "")
        color = SUCCESS if is_truth else TEXT if best else MUTED_TEXT
        layout.text(name, area.left, baseline, 16, color, max_width=name_width)
        bar = pygame.Rect(area.left + name_width + gap, top + row // 4, bar_width, max(row // 2, 1))
        fill_rectangle(layout.surface, bar, SCENE_BACKGROUND, corner_radius=gap)
        bar.width = max(round(bar.width * float(probs[choice])), 1)
        fill_rectangle(layout.surface, bar, SCALE_COLORS[0] if best else BORDER, corner_radius=gap)
        layout.text(f"{probs[choice]:.0%}", area.right, baseline, 16, color, "right", max_width=value_width)


def _num_glimpses(record: EpisodeRecord, step: int) -> int:
    """Number of glimpses taken after some steps."""
    return min(step + 1, record.num_steps + 1 if record.image_moves else record.num_glimpses)
