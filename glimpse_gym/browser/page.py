"""Builder of the page: one HTML file with everything in it, which plays the envs and runs the agents in a browser.

The rules, the retina and the networks are written again in JavaScript, because a browser runs no Python. Tests compare
both: bit by bit, and the answers of agents within 0.001. Each ``.js`` file is a classic script of functions and
classes. They are put one after the other, in a fixed order, into a function of their own.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.browser.base85 import ALPHABET, encode_text
from glimpse_gym.browser.digits import encode_digits, load_digits
from glimpse_gym.browser.env_descriptions import describe_page_envs
from glimpse_gym.extras import require_extra
from glimpse_gym.rendering import appearance

RULES = (
    "random.js",
    "retina.js",
    "canvas.js",
    "worlds.js",
    "networks.js",
    "storage.js",
    "agent.js",
    "index.js",
)
"""Scripts that set ``globalThis.glimpse``, in order."""
PAGE = ("words.js", "game.js", "drawing.js", "view.js", "input.js", "main.js")
"""Scripts that draw the page and play with what the rules offer, in order."""
STYLES = ("style.css", "game.css", "narrow.css")
"""Style sheets, in order."""
LOGO = "logo.svg"
"""Picture of the page's head and of its icon."""


def build_page(agents: Sequence[str | Path] | None = None, documentation: str | None = None) -> str:
    """Build the page, HTML that needs no other file and no network.

    Args:
        agents: names of pretrained agents, or paths of checkpoint folders; None for all pretrained agents. The
            page has the first for each env.
        documentation: address of the documentation, absolute or relative to the page, for a link; None for no link.

    Raises:
        CheckpointError: if there is no such agent, or a file is missing, damaged, or not a checkpoint.
        ValueError: if the page cannot run an agent, or two agents of different envs have the same name.
        ModuleNotFoundError: if the package of the extra ``browser`` is not installed.
    """
    rules, weights = _build_scripts(agents)
    # The weights come last, so that a browser shows the page before it has loaded them.
    scripts = [rules, _wrap(PAGE, f"const APPEARANCE = {_to_js(_appearance())};\n"), *weights]
    link = f'<a href="{escape(documentation)}">Documentation</a>' if documentation else ""
    logo = _read(LOGO)
    parts = {
        "documentation": link,
        "icon": f'<link rel="icon" href="data:image/svg+xml;base64,{base64.b64encode(logo.encode()).decode()}">',
        "logo": logo.strip(),
        "style": f"<style>\n{_join(STYLES)}</style>",
        "scripts": "\n".join(f"<script>\n{script}</script>" for script in scripts),
    }
    page = _read("page.html")
    for name, part in parts.items():
        page = page.replace(f"<!-- {name} -->", part)
    return page


def build_rules(agents: Sequence[str | Path] | None = None) -> str:
    """Build the rules and the agents alone: a script that sets ``globalThis.glimpse``.

    Args:
        agents: as in :func:`build_page`.

    Raises:
        CheckpointError, ValueError, ModuleNotFoundError: as :func:`build_page`.
    """
    rules, weights = _build_scripts(agents)
    return "\n".join([rules, *weights])


def write_page(
    path: str | os.PathLike[str], agents: Sequence[str | Path] | None = None, documentation: str | None = None
) -> Path:
    """Write the page to a file, atomically, and return its path.

    Args:
        path: the file, which is replaced if it exists.
        agents, documentation: as in :func:`build_page`.

    Raises:
        CheckpointError, ValueError, ModuleNotFoundError: as :func:`build_page`.
        OSError: if the file cannot be written.
    """
    content = build_page(agents, documentation).encode()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def _build_scripts(agents: Sequence[str | Path] | None) -> tuple[str, list[str]]:
    """Build the script of the rules, and those of the weights."""
    require_extra("browser")  # not "agents", which needs torch
    from glimpse_gym.agents.pretrained import pretrained_names
    from glimpse_gym.browser.stored_agents import StoredAgent, read_agent
    from glimpse_gym.browser.weights import encode_weights

    images, labels = load_digits()
    envs = describe_page_envs(images, labels)
    first_of_env: dict[str, StoredAgent] = {}
    for each in pretrained_names() if agents is None else agents:
        agent = read_agent(each, envs)
        first_of_env.setdefault(agent.metadata.env_id, agent)
    stored = list(first_of_env.values())
    names = [agent.name for agent in stored]
    if len(set(names)) < len(names):
        raise ValueError(f"agents of the page must have different names, got {names}; rename a folder")
    data = {
        "alphabet": ALPHABET,
        "envs": envs,
        "digits": encode_digits(images, labels),
        "agents": [agent.entry() for agent in stored],
    }
    weights = [
        f"glimpse.addWeights({_to_js(agent.name)}, {_to_js(encode_text(encode_weights(agent.tensors)))});\n"
        for agent in stored
    ]
    return _wrap(RULES, f"const DATA = {_to_js(data)};\n"), [*weights, "glimpse.finish();\n"]


def _appearance() -> dict[str, Any]:
    """Collect the constants that the page shares with the window."""
    return {name: value for name, value in vars(appearance).items() if name.isupper()}


def _wrap(names: Sequence[str], head: str = "") -> str:
    """Put scripts into one strict function, which keeps their names to itself."""
    return f'(() => {{\n"use strict";\n{head}{_join(names)}}})();\n'


def _join(names: Sequence[str]) -> str:
    return "\n".join(map(_read, names))


def _to_js(value: Any) -> str:
    """Convert a value to an expression of JavaScript that can stand in HTML."""
    return json.dumps(value).replace("<", "\\u003c")


def _read(name: str) -> str:
    return resources.files("glimpse_gym.browser").joinpath(name).read_text(encoding="utf-8")
