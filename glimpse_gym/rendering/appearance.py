"""Colors and brightness of pictures, shared by windows, frames and the page in the browser. Does not import pygame."""

from __future__ import annotations

Color = tuple[int, int, int]
"""Red, green and blue from 0 to 255."""

BACKGROUND, SCENE_BACKGROUND, BORDER, UNSEEN = (15, 17, 23), (23, 26, 35), (62, 68, 86), (34, 39, 54)
UNSEEN_BLACK = (27, 30, 42)  # a black pixel that was not seen
TEXT, MUTED_TEXT, SUCCESS, FAILURE = (232, 235, 242), (134, 142, 162), (74, 211, 130), (255, 104, 104)
# One per scale, the finest first and most vivid; reused from the start if there are more scales.
SCALE_COLORS: tuple[Color, ...] = (
    *((255, 190, 50), (64, 172, 240), (160, 128, 238)),
    *((58, 158, 140), (186, 108, 140), (120, 130, 150)),
)
# Gradient stops of a scanpath, from the first to the last fixation.
TIME_GRADIENT: tuple[Color, ...] = ((92, 164, 255), (214, 116, 214), (255, 152, 60))

UNSEEN_BRIGHTNESS = 0.22  # of pixels outside all glimpses: enough to recognize what the agent has not seen
SCALE_DECAY = 0.6  # factor of the brightness from each scale to the next coarser one
MEMORY_FADE = 0.85  # brightness of a remembered glimpse, from each glimpse to the one before
MEMORY_FADE_MOVING = 0.5  # the same where the image has changed since
MIN_MEMORY_BRIGHTNESS = 0.25
MAX_MEMORY_MOVING = 4  # glimpses that are remembered where the image moves
