"""Write the sources of the site: ``cd docs && python -m glimpse_site``."""

import argparse
from pathlib import Path

from glimpse_site.animations import draw_animations
from glimpse_site.env_pages import write_env_pages
from glimpse_site.speed import load_speeds
from glimpse_site.staging import ROOT, stage_pages


def main() -> None:
    """Write all sources into a folder; what was in it is removed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "_build" / "source", help="the folder")
    parser.add_argument("--episodes", type=int, default=3, help="episodes of each animation")
    arguments = parser.parse_args()
    stage_pages(ROOT, arguments.out)
    write_env_pages(arguments.out / "environments", load_speeds(ROOT / "docs" / "speed.json"))
    draw_animations(arguments.out / "environments", arguments.episodes)


if __name__ == "__main__":
    main()
