"""Layout shared by the pictures of a game and of a recorded episode: a header, a body and a footer, at any size."""

from __future__ import annotations

import pygame

from glimpse_gym.rendering.appearance import MUTED_TEXT, TEXT, Color
from glimpse_gym.rendering.drawing import Size, draw_progress, draw_text, even_size, new_surface

_DESIGN_SIZE = (960, 640)  # the size in which lengths are given; pictures of other sizes are scaled
_MIN_SIDE = 64  # pixels; a smaller window shows the picture reduced
_HEADER, _FOOTER, MARGIN = 76, 48, 20
_BASELINE, _PROGRESS_TOP, _PROGRESS_HEIGHT, _FOOTER_BASELINE = 38, 52, 6, 18


def window_size(scale: float) -> Size:
    """Size of a window in pixels, even as video codecs require; 960 x 640 at scale 1."""
    return even_size(_DESIGN_SIZE[0] * scale, _DESIGN_SIZE[1] * scale)


class Layout:
    """Surface with a header, a body and a footer.

    Lengths that are passed to its methods are in pixels of a picture of 960 x 640, positions in pixels of the surface.

    Args:
        size: width and height of the surface in pixels; each is at least 64.
    """

    def __init__(self, size: Size) -> None:
        width, height = max(size[0], _MIN_SIDE), max(size[1], _MIN_SIDE)
        self.unit = min(width / _DESIGN_SIZE[0], height / _DESIGN_SIZE[1])
        """Factor from lengths to pixels."""
        self.surface = new_surface((width, height))
        margin, top, bottom = self.px(MARGIN), self.px(_HEADER), self.px(_FOOTER)
        self.left, self.right = margin, width - margin
        """Ends of the header, the body and the footer."""
        self.body = pygame.Rect(margin, top, width - 2 * margin, max(height - top - bottom, 16))
        self.baseline, self.footer_baseline = self.px(_BASELINE), height - self.px(_FOOTER_BASELINE)
        """Baselines of the text in the header and the footer."""

    def px(self, length: float) -> int:
        """Convert a length to pixels, at least 1."""
        return max(round(length * self.unit), 1)

    def text(
        self,
        text: str,
        x: float,
        baseline: float,
        size: float = 16,
        color: Color = TEXT,
        align: str = "left",
        max_width: float | None = None,
    ) -> int:
        """Draw a line of text, as :func:`glimpse_gym.rendering.drawing.draw_text`, and return its width in pixels."""
        return draw_text(self.surface, text, (x, baseline), self.px(size), color, align, max_width)

    def split_body(self, panel: float, max_fraction: float) -> tuple[pygame.Rect, pygame.Rect]:
        """Split the body into a scene on the left and a panel on the right.

        Args:
            panel: width of the panel.
            max_fraction: largest fraction of the body that the panel takes.
        """
        body, gap = self.body, self.px(MARGIN)
        panel_width = min(self.px(panel), int(body.width * max_fraction))
        scene = pygame.Rect(body.left, body.top, body.width - panel_width - gap, body.height)
        return scene, pygame.Rect(scene.right + gap, body.top, panel_width, body.height)

    def draw_count(self, noun: str, count: int, total: int, x: int) -> int:
        """Draw the progress in the header, as text at x and as a bar, and return the x of the next text."""
        bar = pygame.Rect(self.left, self.px(_PROGRESS_TOP), self.right - self.left, self.px(_PROGRESS_HEIGHT))
        draw_progress(self.surface, bar, count, total)
        x += self.text(noun, x, self.baseline, 20, MUTED_TEXT) + self.px(8)
        return x + self.text(f"{count} / {total}", x, self.baseline, 20) + self.px(16)
