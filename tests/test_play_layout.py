"""Layout of pictures of games and records, and sizes of windows."""

import pytest

from glimpse_gym.play.layout import Layout, window_size

SIZES = [(960, 640), (640, 960), (300, 200), (1920, 1080), (90, 700), (1, 1), (3000, 70)]


@pytest.mark.parametrize(("scale", "size"), [(1, (960, 640)), (0.25, (240, 160)), (1.003, (964, 642))])
def test_windows_have_even_sizes(scale, size):
    assert window_size(scale) == size


@pytest.mark.parametrize("size", SIZES)
def test_parts_lie_in_the_picture(size):
    layout = Layout(size)
    assert layout.surface.get_size() == (max(size[0], 64), max(size[1], 64))
    picture = layout.surface.get_rect()
    scene, panel = layout.split_body(300, 1 / 3)
    assert picture.contains(layout.body)
    assert layout.body.contains(scene)
    assert layout.body.contains(panel)
    assert scene.right < panel.left
    assert min(scene.size) > 0 < min(panel.size)
    assert 0 < layout.baseline < layout.body.top
    assert layout.body.bottom <= layout.footer_baseline < picture.height


def test_lengths_scale_with_the_picture():
    assert [Layout(size).px(100) for size in ((960, 640), (480, 320), (1920, 640), (1920, 1280))] == [100, 50, 100, 200]
    assert Layout((64, 64)).px(1) == 1
