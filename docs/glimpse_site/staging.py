"""Hand-written pages, copied into the sources of the site, with their links changed to where pages are there."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
"""The repository."""

# Files outside docs/ that are pages of the site.
_ROOT_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
# Files that are not copied, because the site has another page with their content.
_REPLACED = {"README.md": "index.md", "docs/envs.md": "environments/index.md"}
_NOT_SOURCES = ("_build", "_static", "_templates", "glimpse_site", "conf.py", "__pycache__")

CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
"""Blocks of code, and code within a line."""
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")


def staged_paths(root: Path) -> dict[str, str]:
    """List the files of the repository that belong to the site.

    Args:
        root: the repository.

    Returns:
        Path in the repository -> path in the sources of the site, both with ``/``. Two files may have one page.
    """
    paths = dict(_ROOT_PAGES)
    for path in sorted((root / "docs").rglob("*")):
        inside = path.relative_to(root / "docs")
        if path.is_file() and not set(_NOT_SOURCES) & set(inside.parts):
            paths[f"docs/{inside.as_posix()}"] = inside.as_posix()
    return paths | _REPLACED


def stage_pages(root: Path, folder: Path) -> None:
    """Copy all files that belong to the site, with the links of Markdown pages changed; see :func:`relink`.

    Args:
        root: the repository.
        folder: the sources of the site; what was in it is removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    paths = staged_paths(root)
    for source, staged in paths.items():
        if source in _REPLACED:
            continue
        target = folder / staged
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith(".md"):
            target.write_text(relink((root / source).read_text(encoding="utf-8"), source, paths), encoding="utf-8")
        else:
            shutil.copyfile(root / source, target)


def relink(text: str, source: str, paths: dict[str, str]) -> str:
    """Change the relative links of a page to where pages are in the sources of the site.

    A link to a file of the repository that the site does not have keeps its text only. A link whose text is the name
    of a page gets the title of the page as text.

    Args:
        text: Markdown.
        source: path of the page in the repository.
        paths: made by :func:`staged_paths`.
    """

    def change(match: re.Match[str]) -> str:
        target, hash_sign, anchor = match["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        name = os.path.normpath(PurePosixPath(source).parent / target).replace(os.sep, "/")
        if name not in paths:
            return match["text"]
        here = PurePosixPath(paths[source]).parent
        relative = os.path.relpath(paths[name], here).replace(os.sep, "/")
        text = "" if match["text"].endswith(".md") else match["text"]  # MyST inserts the title of the page
        return f"{match['image']}[{text}]({relative}{hash_sign}{anchor})"

    return outside_code(text, lambda part: _LINK.sub(change, part))


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Apply a function to a Markdown text with its code hidden, and put the code back."""
    hidden: list[str] = []

    def hide(match: re.Match[str]) -> str:
        hidden.append(match[0])
        return f"\0{len(hidden) - 1}\0"

    changed = change(CODE.sub(hide, text))
    return re.sub("\0(\\d+)\0", lambda match: hidden[int(match[1])], changed)
