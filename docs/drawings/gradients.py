"""Draw docs/figures/gradients.png: which loss trains which network of a RAM, and where gradients stop."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

from glimpse_gym.rendering.paper_figures import COLORS, STYLE, save_figure

ENTROPY, REINFORCE, BASELINE_LOSS, LOCATION_GRADIENT = COLORS[0], COLORS[1], COLORS[2], "#8A4FA3"
FORWARD, STOP, INK = "#A9B0B8", "#C00000", "#1B2733"
GAP = 0.085  # inches between an arrow of the forward pass and the gradient beside it
# Columns and rows, in inches: glimpse t with its three heads, and the last glimpse T.
CHOICE, BASELINE, LOCATION, SAMPLE, LAST = 0.5, 1.5, 2.5, 3.48, 4.5
INPUT, GLIMPSE, CORE, HEAD, LOSS, RETURN = 0.4, 1.35, 2.3, 3.4, 4.5, 5.2
HALF, WIDTH = 0.21, 0.86  # half the height of a box, and its width
LEGEND = {
    "forward pass": FORWARD,
    "gradient of the cross-entropy": ENTROPY,
    "gradient of REINFORCE": REINFORCE,
    "gradient of the baseline's loss": BASELINE_LOSS,
    "gradient through locations, of all later losses": LOCATION_GRADIENT,
}
STOPS = (
    "A sampled location is a constant; in the next glimpse, the default takes mean + noise instead.",
    "The baseline reads the core's output, and does not train it.",
    "Return and baseline are constants in the advantage.",
    "Only with --detach-location-network; without it, the gradient passes.",
)


def box(
    axes: Axes, x: float, y: float, text: str, color: str = "", fill: str = "#F1F4F8", width: float = WIDTH
) -> None:
    """Draw a labeled box around a point."""
    corner, style = (x - width / 2, y - HALF), "round,pad=0,rounding_size=0.07"
    shape = FancyBboxPatch(corner, width, 2 * HALF, style, fc=fill, ec=color or "#5B6470", lw=1.6 if color else 1.0)
    axes.add_patch(shape).set_zorder(3)
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=color or INK, zorder=4, linespacing=1.05)


def arrow(axes: Axes, color: str, *points: tuple[float, float], lw: float = 2.2, zorder: float = 2) -> None:
    """Draw an arrow through points: by default a gradient."""
    axes.plot(*zip(*points[:-1], strict=True), color=color, lw=lw, zorder=zorder, solid_joinstyle="miter")
    style = {"arrowstyle": "-|>,head_width=0.22,head_length=0.4", "color": color, "lw": lw, "mutation_scale": 9}
    axes.annotate("", points[-1], points[-2], arrowprops=style | {"shrinkA": 0, "shrinkB": 0}, zorder=zorder)


def forward(axes: Axes, *points: tuple[float, float], zorder: float = 2) -> None:
    """Draw an arrow of the forward pass."""
    arrow(axes, FORWARD, *points, lw=1.3, zorder=zorder)


def stop(axes: Axes, x: float, y: float, number: int, is_vertical: bool = False, is_optional: bool = False) -> None:
    """Draw a bar at which a gradient stops, and its number."""
    half = 0.21 if is_optional else 0.15  # across two gradients, or one
    dx, dy = (0.0, half) if is_vertical else (half, 0.0)
    style = (0, (1, 0.5)) if is_optional else "-"
    axes.plot((x - dx, x + dx), (y - dy, y + dy), color=STOP, lw=3, zorder=5, ls=style)
    numbered(axes, *((x, y - half - 0.12) if is_vertical else (x + half + 0.12, y)), number)


def numbered(axes: Axes, x: float, y: float, number: int) -> None:
    """Draw the number of a stop."""
    shape = {"boxstyle": "circle,pad=0.18", "fc": STOP, "ec": "none"}
    axes.text(x, y, str(number), ha="center", va="center", size=8, color="white", weight="bold", zorder=6, bbox=shape)


def below_head(x: float, core: float) -> float:
    """Return where the line between a head and its core meets the top of the core."""
    return core + 0.26 * (x - core)


def draw_networks(axes: Axes) -> None:
    """Draw the networks and the forward pass, which both variants share."""
    # A gap in vertical lines, where the connection of the cores crosses them.
    axes.plot((SAMPLE, SAMPLE), (CORE - 0.07, CORE + 0.16), color="white", lw=20, zorder=2.1, solid_capstyle="butt")
    for x, name in ((BASELINE, "t"), (LAST, "T")):
        box(axes, x, INPUT, f"glimpse {name},\nits location", fill="white", width=0.96)
        box(axes, x, GLIMPSE, "glimpse\nnetwork")
        box(axes, x, CORE, "core")
        forward(axes, (x, INPUT + HALF), (x, GLIMPSE - HALF))
        forward(axes, (x, GLIMPSE + HALF), (x, CORE - HALF))
    for x, core, name in (
        (CHOICE, BASELINE, "choice\nnetwork"),
        (BASELINE, BASELINE, "baseline"),
        (LOCATION, BASELINE, "location\nnetwork"),
        (LAST, LAST, "choice\nnetwork"),
    ):
        box(axes, x, HEAD, name)
        forward(axes, (below_head(x, core), CORE + HALF), (x, HEAD - HALF))
    forward(axes, (BASELINE + WIDTH / 2, CORE), (LAST - WIDTH / 2, CORE), zorder=2.2)
    box(axes, SAMPLE, HEAD, "sample", fill="white", width=0.62)
    box(axes, SAMPLE, GLIMPSE, "retina", fill="white", width=0.62)
    forward(axes, (LOCATION + WIDTH / 2, HEAD), (SAMPLE - 0.31, HEAD))
    forward(axes, (SAMPLE, HEAD - HALF), (SAMPLE, GLIMPSE + HALF))
    forward(axes, (SAMPLE, GLIMPSE - HALF), (SAMPLE, INPUT), (LAST - 0.48, INPUT))


def draw_returns(axes: Axes, text: str) -> None:
    """Draw how the return, which the last label or the later labels decide, enters two losses as a constant."""
    middle = (BASELINE + LOCATION) / 2
    box(axes, middle, RETURN, text, fill="white", width=1.7)
    forward(axes, (LAST + WIDTH / 2, HEAD), (LAST + 0.62, HEAD), (LAST + 0.62, RETURN), (middle + 0.85, RETURN))
    for x in (BASELINE, LOCATION):
        forward(axes, (x, RETURN - HALF), (x, LOSS + HALF))
    forward(axes, (BASELINE + 0.25, HEAD + HALF), (LOCATION - 0.3, LOSS - HALF))
    forward(axes, (SAMPLE, HEAD + HALF), (SAMPLE, LOSS), (LOCATION + WIDTH / 2, LOSS))
    stop(axes, SAMPLE, HEAD + 0.55, 1)
    stop(axes, SAMPLE + 0.3, RETURN, 3, is_vertical=True)
    stop(axes, (BASELINE + LOCATION) / 2, (HEAD + LOSS) / 2, 3)


def draw_gradients(axes: Axes) -> None:
    """Draw the gradients that both variants have."""
    box(axes, BASELINE, LOSS, "baseline's\nloss", BASELINE_LOSS, "white")
    box(axes, LOCATION, LOSS, "REINFORCE", REINFORCE, "white")
    arrow(axes, BASELINE_LOSS, (BASELINE, LOSS - HALF), (BASELINE, HEAD + HALF))
    arrow(axes, REINFORCE, (LOCATION, LOSS - HALF), (LOCATION, HEAD + HALF))
    arrow(axes, REINFORCE, (LOCATION - GAP, HEAD - HALF), (below_head(LOCATION, BASELINE) - GAP, CORE + HALF))
    arrow(axes, REINFORCE, (BASELINE - GAP, CORE - HALF), (BASELINE - GAP, GLIMPSE + HALF))
    draw_cross_entropy(axes, LAST, LAST)
    arrow(axes, ENTROPY, (LAST - WIDTH / 2, CORE + GAP), (BASELINE + WIDTH / 2, CORE + GAP), zorder=2.2)
    for x in (BASELINE, LAST):
        arrow(axes, ENTROPY, (x + GAP, CORE - HALF), (x + GAP, GLIMPSE + HALF))
    stop(axes, BASELINE, HEAD - HALF - 0.14, 2)
    stop(axes, 2.26, 2.92, 4, is_optional=True)


def draw_cross_entropy(axes: Axes, x: float, core: float) -> None:
    """Draw a cross-entropy and its gradient down to the core."""
    box(axes, x, LOSS, "cross-\nentropy", ENTROPY, "white")
    arrow(axes, ENTROPY, (x, LOSS - HALF), (x, HEAD + HALF))
    arrow(axes, ENTROPY, (x + GAP, HEAD - HALF), (below_head(x, core) + GAP, CORE + HALF))


def draw_location_gradient(axes: Axes) -> None:
    """Draw the gradient that the default passes from a glimpse to the mean of its location, and on to the core."""
    color = LOCATION_GRADIENT
    arrow(axes, color, (LAST + GAP, GLIMPSE - HALF), (LAST + GAP, INPUT + HALF))
    arrow(axes, color, (LAST - 0.48, INPUT - GAP), (SAMPLE - GAP, INPUT - GAP), (SAMPLE - GAP, GLIMPSE - HALF))
    arrow(axes, color, (SAMPLE - GAP, GLIMPSE + HALF), (SAMPLE - GAP, HEAD - HALF))
    arrow(axes, color, (SAMPLE - 0.31, HEAD - GAP), (LOCATION + WIDTH / 2, HEAD - GAP))
    arrow(axes, color, (LOCATION + 1.5 * GAP, HEAD - HALF), (below_head(LOCATION, BASELINE) + 1.5 * GAP, CORE + HALF))


def draw_panel(axes: Axes, title: str, returns: str) -> None:
    """Draw what both variants have."""
    axes.set(xlim=(-0.02, 5.28), ylim=(0.1, 5.5))
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, weight="bold", color=INK, y=1.0)
    draw_networks(axes)
    draw_returns(axes, returns)
    draw_gradients(axes)


def draw_legend(axes: Axes) -> None:
    """Draw the colors and the stops below both panels."""
    axes.set(xlim=(0, 10.6), ylim=(0, 1.1))
    axes.set_axis_off()
    lines = [Line2D([], [], color=color, lw=1.3 if color == FORWARD else 2.2) for color in LEGEND.values()]
    axes.legend(lines, LEGEND, loc="upper left", bbox_to_anchor=(0.015, 1.06), fontsize=8.5, labelspacing=0.42)
    for number, text in enumerate(STOPS, start=1):
        y = 1.2 - 0.235 * number
        numbered(axes, 4.25, y, number)
        axes.text(4.42, y, text, va="center", fontsize=8.5, color=INK)


def make_figure() -> Figure:
    """Draw both variants side by side."""
    with rc_context(STYLE):
        figure = Figure(figsize=(10.6, 6.9))
        paper, default = figure.add_axes((0, 0.17, 0.5, 0.785)), figure.add_axes((0.5, 0.17, 0.5, 0.785))
        draw_panel(paper, "As in the paper: loss and reward after the last glimpse", "return: the reward")
        stop(paper, SAMPLE, HEAD - HALF - 0.2, 1)
        draw_panel(default, "The default: loss after every glimpse", "return: probability of\nthe true class later on")
        draw_cross_entropy(default, CHOICE, BASELINE)
        draw_location_gradient(default)
        draw_legend(figure.add_axes((0, 0.0, 1, 0.165)))
    return figure


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "figures"
    print(*save_figure(make_figure(), folder / "gradients.png"))
