"""Write the sources of the site: ``cd docs && python -m glimpse_site [FOLDER]``, by default to _build/source."""

import sys
from pathlib import Path

from glimpse_site.animations import draw_animations
from glimpse_site.env_pages import write_env_pages
from glimpse_site.speed import load_speeds
from glimpse_site.staging import ROOT, stage_pages


def main(folder: Path) -> None:
    """Write all sources into a folder; what was in it is removed."""
    stage_pages(ROOT, folder)
    write_env_pages(folder / "environments", load_speeds(ROOT / "docs" / "speed.json"))
    draw_animations(folder / "environments")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "_build" / "source")
