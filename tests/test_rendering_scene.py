"""Scenes, checked pixel by pixel."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from glimpse_gym.rendering.scene import Scene
from glimpse_gym.retina import Retina
from pictures import CENTER, random_image


@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32)),
    st.integers(1, 9),
    st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_finest_patch_is_shown_undimmed_and_boxes_match_the_retina(size, location, patch_size, num_scales):
    retina, location = Retina(patch_size, num_scales), np.array([location], np.float32)
    white = np.full(size, 255, np.uint8)
    scene = Scene(white, retina, location, max_side=120, margin=10)
    factor = 120 // max(size)
    top, left = ((140 - side * factor) // 2 for side in size)
    window = scene.canvas[top : top + size[0] * factor, left : left + size[1] * factor]
    # On a white image the glimpse sums to the number of pixels that the patch covers.
    covered = round(float(retina.sense(white[np.newaxis], location)[0, 0].sum()))
    assert (window == 255).all(axis=-1).sum() == covered * factor**2
    for scale in range(num_scales):
        row, column = retina.patch_corner(location[0], size, scale)
        side = retina.patch_side(scale)
        edges = (top + row * factor, left + column * factor)
        assert scene.patch_box(location[0], scale) == (*edges, edges[0] + side * factor, edges[1] + side * factor)


def test_brightness_falls_with_scale_and_unseen_pixels_are_faint():
    image = random_image((40, 40, 3))
    scene = Scene(np.full((40, 40), 255, np.uint8), Retina(4, 3), CENTER, max_side=40, margin=0)
    finest, middle, coarsest, unseen = (int(scene.canvas[20, column, 0]) for column in (20, 23, 27, 38))
    assert 255 == finest > middle > coarsest > unseen > 40
    color = Scene(image, Retina(4, 3), CENTER, max_side=80, margin=0)
    assert np.array_equal(color.canvas[36:44:2, 36:44:2], image[18:22, 18:22])
    assert np.array_equal(color.canvas[37:44:2, 37:44:2], image[18:22, 18:22])


def test_large_image_is_downscaled_with_its_boxes():
    image = np.zeros((1000, 500), np.uint8)
    scene = Scene(image, Retina(100), CENTER, max_side=200, margin=20)
    assert scene.patch_box(CENTER[0], 0) == (20 + 90, 20 + 50 + 40, 20 + 110, 20 + 50 + 60)
