"""Views of images, checked pixel by pixel."""

import numpy as np
import pygame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glimpse_gym.rendering import appearance, drawing
from glimpse_gym.rendering.drawing import surface_to_array
from glimpse_gym.rendering.scene import GlimpseView, ImageView, Scene, glimpse_patches
from glimpse_gym.retina import Retina
from pictures import CENTER, SHAPES, contains_color, random_fixations, random_image

sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))
locations = st.tuples(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32))


def shown(view):
    """The image as it is shown, uint8 (height, width, 3)."""
    return surface_to_array(view.surface.subsurface(view.image_rect))


@given(sizes, locations, st.integers(1, 9), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_finest_patch_is_shown_undimmed_and_rects_match_the_retina(size, location, patch_size, num_scales):
    retina, location = Retina(patch_size, num_scales), np.array([location], np.float32)
    white = np.full(size, 255, np.uint8)
    scene = Scene(white, retina, location, max_side=120, margin=10)
    factor = 120 // max(size)
    top, left = ((140 - side * factor) // 2 for side in size)
    assert scene.image_rect == pygame.Rect(left, top, size[1] * factor, size[0] * factor)
    # On a white image the glimpse sums to the number of pixels that the patch covers.
    covered = round(float(retina.sense(white[np.newaxis], location)[0, 0].sum()))
    assert (shown(scene) == 255).all(axis=-1).sum() == covered * factor**2
    for scale in range(num_scales):
        row, column = retina.patch_corner(location[0], size, scale)
        side = retina.patch_side(scale) * factor
        assert scene.patch_rect(location[0], scale) == (left + column * factor, top + row * factor, side, side)


@given(sizes, locations)
@settings(max_examples=60, deadline=None)
def test_locations_and_pixels_are_inverse(size, location):
    view = ImageView(size, Retina(4), max_side=200, margin=10)
    assert view.to_location(view.to_pixel(location)) == pytest.approx(np.array(location), abs=1e-5)
    assert view.image_rect.inflate(2, 2).collidepoint(view.to_pixel(location))


def test_corners_are_the_corners_of_the_image():
    view = ImageView((30, 60), Retina(4), max_side=120, margin=10)
    assert view.to_pixel((-1, -1)) == view.image_rect.topleft
    assert view.to_pixel((1, 1)) == view.image_rect.bottomright
    assert view.to_pixel((0, 0)) == view.image_rect.center
    assert view.to_location((-500, 500)).tolist() == [-1, 1]
    assert view.to_location((0, 0)).dtype == np.float32


def test_brightness_falls_with_scale_and_unseen_pixels_are_faint():
    image = random_image((40, 40, 3))
    scene = Scene(np.full((40, 40), 255, np.uint8), Retina(4, 3), CENTER, max_side=40, margin=0)
    finest, middle, coarsest, unseen = (int(surface_to_array(scene.surface)[20, c, 0]) for c in (20, 23, 27, 38))
    assert 255 == finest > middle > coarsest > unseen > 40
    color = surface_to_array(Scene(image, Retina(4, 3), CENTER, max_side=80, margin=0).surface)
    assert np.array_equal(color[36:44:2, 36:44:2], image[18:22, 18:22])
    assert np.array_equal(color[37:44:2, 37:44:2], image[18:22, 18:22])


def test_unseen_black_is_the_color_of_that_name():
    scene = Scene(np.zeros((9, 9), np.uint8), Retina(1), CENTER - 1, max_side=9, margin=0)
    assert np.abs(shown(scene)[8, 8].astype(int) - appearance.UNSEEN_BLACK).max() <= 1


def test_large_image_is_reduced_with_its_rects():
    scene = Scene(np.zeros((1000, 500), np.uint8), Retina(100), CENTER, max_side=200, margin=20)
    assert scene.patch_rect(CENTER[0], 0) == (20 + 50 + 40, 20 + 90, 20, 20)


def test_scene_is_drawn_on_the_given_surface():
    target = drawing.new_surface((100, 80))
    arguments = random_image((20, 20)), Retina(4, 2), CENTER, 40, 10
    scene = Scene(*arguments, surface=target.subsurface((30, 10, 60, 60)))
    scene.draw_patches(CENTER[0], 1)
    alone = Scene(*arguments)
    alone.draw_patches(CENTER[0], 1)
    assert np.array_equal(surface_to_array(target)[10:70, 30:90], surface_to_array(alone.surface))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_glimpse_view_shows_each_value_where_it_was_sensed(shape):
    image, retina = random_image(shape), Retina(3, 2)
    glimpse = retina.sense(image[np.newaxis], CENTER)
    view = GlimpseView(shape[:2], retina, glimpse, CENTER, max_side=1200, margin=0)
    for scale in (1, 0):
        rect = view.patch_rect(CENTER[0], scale)
        patch = surface_to_array(drawing.array_to_surface(glimpse_patches(glimpse[0], retina)[scale]))
        for row in range(3):
            for column in range(3):
                x, y = rect.left + (column + 0.5) * rect.width / 3, rect.top + (row + 0.5) * rect.height / 3
                finer = scale and view.patch_rect(CENTER[0], 0).collidepoint(x, y)
                if view.image_rect.collidepoint(x, y) and not finer:
                    assert tuple(view.surface.get_at((int(x), int(y)))[:3]) == tuple(patch[row, column])


@given(sizes, st.integers(1, 5), st.integers(1, 3), st.integers(0, 5), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_glimpse_view_depends_on_glimpses_only(size, patch_size, num_scales, count, seed):
    """It is given no image; outside of all patches every pixel has the color of the unseen."""
    retina, fixations = Retina(patch_size, num_scales), random_fixations(count, seed)
    images = np.full((count, *size), 255, np.uint8)
    glimpses = retina.sense(images, fixations) if count else np.zeros((0, *retina.glimpse_shape()))
    view = GlimpseView(size, retina, glimpses, fixations, max_side=120, margin=4)
    outside = np.ones(surface_to_array(view.surface).shape[:2], bool)
    for location in fixations:
        rect = view.patch_rect(location, num_scales - 1).clip(view.surface.get_rect())
        outside[rect.top : rect.bottom, rect.left : rect.right] = False
    rect = view.image_rect
    inside_image = np.zeros_like(outside)
    inside_image[rect.top : rect.bottom, rect.left : rect.right] = True
    pixels = surface_to_array(view.surface)
    assert (pixels[outside & inside_image] == appearance.UNSEEN_BLACK).all()


def test_earlier_glimpses_fade():
    retina, fixations = Retina(4), np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5]], np.float32)
    glimpses = np.ones((3, 1, 4, 4), np.float32)
    view = GlimpseView((40, 40), retina, glimpses, fixations, max_side=40, margin=0, fade=0.5)
    values = [int(shown(view)[int(y), int(x), 0]) for x, y in map(view.patch_center, fixations)]
    assert values == [64, 128, 255]
    steady = GlimpseView((40, 40), retina, glimpses, fixations, max_side=40, margin=0, fade=1)
    assert (shown(steady) == 255).all(axis=-1).sum() == 3 * 16


def test_overlays():
    view = ImageView((40, 40), Retina(8, 2), max_side=200, margin=20)
    before = surface_to_array(view.surface)
    view.draw_patches(CENTER[0], 2)
    for scale in range(2):
        rect = view.patch_rect(CENTER[0], scale)
        assert tuple(view.surface.get_at(rect.topleft)[:3]) == appearance.SCALE_COLORS[scale]
    view.draw_location_distribution((0.5, 0.5), 0.2)
    x, y = view.to_pixel((0.5, 0.5))
    assert tuple(view.surface.get_at((int(x), int(y)))[:3]) == appearance.SCALE_COLORS[0]
    ring = surface_to_array(view.surface)[int(y), int(x) + 19 : int(x) + 22]
    assert (ring != appearance.SCENE_BACKGROUND).any()
    view.draw_numbered_scanpath(random_fixations(4), 6.5)
    view.draw_scanpath(random_fixations(4, seed=1), 3)
    assert contains_color(surface_to_array(view.surface), drawing.time_colors(4)[0])
    assert not np.array_equal(before, surface_to_array(view.surface))
