"""Relative links of all pages lead to files and headings that exist."""

import re
from collections import Counter

import pytest

from doc_pages import ROOT, page_names, read_page
from glimpse_site.staging import CODE

LINK = re.compile(r"\]\(([^()\s]+)\)|<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# Pages that only the built site has; tests/test_docs_site.py looks for them.
BUILT = ("play/index.html",)


def relative_links(text: str) -> list[str]:
    """Targets of links and images, without those to other sites."""
    targets = [first or second for first, second in LINK.findall(CODE.sub("", text))]
    return [target for target in targets if not re.match(r"[a-z]+:", target) and target not in BUILT]


def anchors(text: str) -> set[str]:
    """Names that headings have on the pages of a repository and of the site."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    names = set()
    for heading in HEADING.findall(without_code):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        names.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return names


def check_link(page: str, target: str) -> None:
    """Raise AssertionError if a link of a page leads nowhere."""
    name, _, anchor = target.partition("#")
    path = (ROOT / page).parent / name if name else ROOT / page
    assert path.is_file(), f"{page} links to {target}, which does not exist"
    assert path.resolve().is_relative_to(ROOT.resolve()), f"{page} links to {target}, outside the repository"
    if anchor:
        found = anchors(path.read_text(encoding="utf-8"))
        assert anchor in found, f"{page} links to {target}; headings there: {sorted(found)}"


@pytest.mark.parametrize("name", page_names())
def test_links_resolve(name):
    for target in relative_links(read_page(name)):
        check_link(name, target)


def test_links_are_found():
    found = {name: len(relative_links(read_page(name))) for name in page_names()}
    assert found["README.md"] > 20
    assert found["docs/index.md"] >= 6
    assert found["docs/results.md"] > 8


@pytest.mark.parametrize(
    "target", ["docs/nothing.md", "#nothing", "docs/training.md#nothing", "../outside.md", "docs", "docs/figures"]
)
def test_dead_links_are_found(target):
    with pytest.raises(AssertionError, match="README"):
        check_link("README.md", target)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](b.md) ![c](d.png#e) `[f](g.md)` [h](https://i.j)", ["b.md", "d.png#e"]),
        ('<img src="k.gif" alt=""> <a class="l" href="m.md">', ["k.gif", "m.md"]),
        ("```\n[n](o.md)\n```\n[`p`](q.md)", ["q.md"]),
    ],
)
def test_relative_links(text, expected):
    assert relative_links(text) == expected


def test_anchors_are_those_of_a_repository():
    text = "# A first *one*, with `code`\n\n## Twice\n\n## Twice\n\n```sh\n# no heading\n```\n"
    assert anchors(text) == {"a-first-one-with-code", "twice", "twice-1"}
