"""Configuration of Sphinx. ``make docs`` writes the sources to _build/source first; see CONTRIBUTING.md."""

import os
import re
from importlib import resources
from pathlib import Path

os.environ["SDL_VIDEODRIVER"] = "dummy"  # modules that draw open no window

from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring

from glimpse_gym.version import __version__

project = "glimpse_gym"
author = "the authors of glimpse_gym"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4  # as on the pages of the repository
suppress_warnings = ["myst.header"]  # a page may begin below the first level

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"glimpse_gym {version}"
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "play.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = str(resources.files("glimpse_gym.browser") / "logo.svg")
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_exclude = ".linenos, .gp, .go"


def parse_attribute_docstring(docstring: GoogleDocstring) -> list[str]:
    """Parse the docstring of an attribute as any other; by default its first line is a type up to the first colon."""
    docstring._what = "method"
    docstring._parse()
    return []


GoogleDocstring._parse_attribute_docstring = parse_attribute_docstring


def convert_tables(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn the Markdown tables of a docstring into tables of reStructuredText."""
    converted = []
    for line in lines:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if line.startswith("| --- "):
            continue
        if not line.startswith("| "):
            converted.append(line)
            continue
        if not converted or not converted[-1].startswith("     "):
            converted += ["", ".. list-table::", "   :header-rows: 1", ""]
        converted += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(cells)]
    lines[:] = converted


def write_play_page(app: Sphinx, exception: Exception | None) -> None:
    """Write the web page for playing beside trained agents, play/index.html."""
    if exception is None and app.builder.name == "html":
        from glimpse_gym.browser.page import write_page

        folder = Path(app.outdir, "play")
        folder.mkdir(exist_ok=True)
        write_page(folder / "index.html", documentation="../index.html")


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("autodoc-process-docstring", convert_tables, priority=400)  # before napoleon
    app.connect("build-finished", write_play_page)
