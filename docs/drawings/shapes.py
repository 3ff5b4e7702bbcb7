"""Draw figures/shapes-scanpaths.png: episodes of the agent of docs/own_images.md, four of each class.

Run it in the folder in which ``shapes/`` and the training run are: ``python docs/drawings/shapes.py runs/shapes``.
"""

import sys
from pathlib import Path

from glimpse_gym.agents.checkpoint import load_agent
from glimpse_gym.agents.scanpaths import record_scanpaths
from glimpse_gym.rendering.animation import ScanpathEpisode
from glimpse_gym.rendering.figures import scanpath_plate
from glimpse_gym.rendering.paper_figures import save_figure

EACH = 4


def select_episodes(run: Path) -> list[ScanpathEpisode]:
    """Return the first episodes of each class, of the 300 test images at mean locations."""
    agent, metadata = load_agent(run, trusted=True)
    episodes = record_scanpaths(agent, metadata, "test", seed=0, num_episodes=300)
    by_class: dict[str, list[ScanpathEpisode]] = {}
    for episode in episodes:
        by_class.setdefault(episode.caption.partition(" → ")[0], []).append(episode)
    return [episode for name in sorted(by_class) for episode in by_class[name][:EACH]]


if __name__ == "__main__":
    save_figure(
        scanpath_plate(select_episodes(Path(sys.argv[1])), columns=6),
        Path(__file__).parents[1] / "figures" / "shapes-scanpaths.png",
    )
