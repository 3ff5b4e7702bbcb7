"""Pages of the documentation as the repository has them, and their blocks of code."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```([\w{}-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULE = re.compile(r"save this as `(\w+)\.py`:\s*\Z", re.IGNORECASE)


class Block(NamedTuple):
    """A block of code on a page."""

    language: str
    code: str
    output: str | None
    """The block of language ``text`` that follows, which has what the code prints."""
    module: str | None
    """Name of the module that the page asks to save the code as."""


def page_names() -> list[str]:
    """Paths of all pages from the root of the repository."""
    pages = [*ROOT.glob("*.md"), *(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)]
    return sorted(path.relative_to(ROOT).as_posix() for path in pages)


def read_page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks_of(name: str, *languages: str) -> list[Block]:
    """The blocks of a page in some languages."""
    text = read_page(name)
    found = list(FENCE.finditer(text))
    blocks = []
    for match, following in zip(found, [*found[1:], None], strict=False):
        output = following[2] if following and following[1] == "text" else None
        module = MODULE.search(text, 0, match.start())
        blocks.append(Block(match[1], match[2], output, module and module[1]))
    return [block for block in blocks if block.language in languages]


def commands_of(name: str) -> list[str]:
    """The lines of all blocks of shell commands, with lines that end with a backslash joined to the next."""
    code = "".join(block.code for block in blocks_of(name, "sh"))
    return [line for line in code.replace("\\\n", "").splitlines() if line.strip()]
