"""The documentation site: its generators, and the site as built."""

import html
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import PIL.Image
import pytest

from doc_pages import ROOT, blocks_of, page_names, read_page
from glimpse_gym.registration import WORLDS, env_id
from glimpse_site.env_pages import SUMMARIES
from glimpse_site.speed import load_speeds, speed_table
from glimpse_site.staging import relink, stage_pages, staged_paths

DOCS = ROOT / "docs"
# In a checkout that is not installed, conftest.py maps envs/ and agents/.
START = "import runpy, sys; sys.path[:0] = [{root!r}, {docs!r}]; import conftest; sys.argv[1:] = {arguments!r}; "
SPHINX_OPTIONS = ("-W", "--keep-going", "-q", "-c", str(DOCS))


def run_module(module: str, *arguments: str) -> None:
    code = START.format(root=str(ROOT), docs=str(DOCS), arguments=arguments)
    code += f"runpy.run_module({module!r}, run_name='__main__')"
    environment = os.environ | {"SDL_VIDEODRIVER": "dummy", "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The sources of the site."""
    folder = tmp_path_factory.mktemp("site") / "source"
    run_module("glimpse_site", "--out", str(folder), "--episodes", "1")
    return folder


@pytest.fixture(scope="module")
def site(source):
    """The site, built without a warning."""
    folder = source.parent / "html"
    run_module("sphinx", *SPHINX_OPTIONS, str(source), str(folder))
    return folder


LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "srcset", "video": "src", "link": "href"}


class References(HTMLParser):
    """Links of a page, the files that it loads, and the ids of its elements."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values.get("id")} - {None}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if values.get(LOADED.get(tag)):
            self.loaded.append(values[LOADED[tag]])


# ---------------------------------------------------------------- the site


def test_the_site_loads_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for path in pages:
        for target in References(path).loaded:
            assert target.startswith("data:") or not re.match(r"(\w+:)?//", target), f"{path.name} loads {target}"
    for path in site.rglob("*.css"):
        style = path.read_text(encoding="utf-8")
        loaded = re.findall(r"""@import\s+["']?([^"';]+)|url\(["']?([^"')]+)""", style)
        for target in ("".join(groups) for groups in loaded):
            assert not re.match(r"(\w+:)?//", target), f"{path.name} loads {target}"


def test_links_within_the_site_resolve(site):
    pages = {path: References(path) for path in site.rglob("*.html")}
    broken, number = [], 0
    for path, page in pages.items():
        for target in [*page.links, *page.loaded]:
            name, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target) or path.parent.name == "play":
                continue
            linked = (path.parent / name.partition("?")[0]).resolve() if name else path.resolve()
            number += 1
            is_seed = linked.parent.name == "play"  # its anchors name an env
            if not linked.is_file() or (anchor and not is_seed and anchor not in pages[linked].ids):
                broken.append(f"{path.relative_to(site)}: {target}")
    assert not broken
    assert number > 1000


def test_every_page_is_reached_from_the_first(site):
    reached, to_visit = set(), [site / "index.html"]
    while to_visit:
        path = to_visit.pop().resolve()
        if path not in reached and path.is_file():
            reached.add(path)
            links = References(path).links if "play" not in path.parts else []
            to_visit += [
                path.parent / link.partition("#")[0] for link in links if link.partition("#")[0][-5:] == ".html"
            ]
    expected = {site / f"{Path(name).stem}.html" for name in page_names() if name.count("/") == 1}
    expected -= {site / "envs.html"}  # a page of each env instead
    expected |= {site / "environments" / f"{name}.html" for name in WORLDS}
    expected |= {site / "play" / "index.html", site / "changelog.html", site / "security.html"}
    assert {path.resolve() for path in expected} <= reached


@pytest.mark.parametrize("name", WORLDS)
def test_page_of_an_env(site, name):
    path = site / "environments" / f"{name}.html"
    page = References(path)
    text = html.unescape(re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8")))
    assert all(env_id(name, actions) in text for actions in ("hybrid", "discrete", "continuous"))
    assert f'gym.make("glimpse_gym:{env_id(name)}"' in text
    assert {"description", "action-space", "observation-space", "rewards", "arguments", "version-history"} <= page.ids
    has_agent = name != "Images"
    assert ("speed" in page.ids) == ("pretrained-agent" in page.ids) == has_agent
    assert (f"../play/index.html#{name}-v0" in page.links) == has_agent
    (picture,) = [target for target in page.loaded if target.endswith(".gif")]
    with PIL.Image.open(path.parent / picture) as animation:
        assert animation.n_frames > 5


def test_docstrings_leave_no_markup(site):
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (site / "api").glob("*.html")}
    assert len(pages) == 7
    for name, page in pages.items():
        text = html.unescape(re.sub(r"<[^>]+>", "", page))
        for markup in ("| ---", "list-table", ":class:", ":func:", "Args:", "``"):
            assert markup not in text, f"api/{name}.html has {markup}"
    assert "<td><p>folder with one subfolder" in pages["sensor"]


def test_the_api_reference_has_what_pages_import(site):
    code = "".join(block.code for name in page_names() for block in blocks_of(name, "python"))
    imports = re.findall(r"^from (glimpse_gym[\w.]*) import (.+)$", code, re.MULTILINE)
    names = {f"{module}.{name}" for module, imported in imports for name in re.split(r",\s*", imported)}
    ids = set().union(*(References(path).ids for path in (site / "api").glob("*.html")))
    assert len(names) > 20
    assert names <= ids, f"add to docs/api: {names - ids}"


# ---------------------------------------------------------------- the generators


def test_every_registered_world_has_a_summary():
    assert set(SUMMARIES) == set(WORLDS), "add a sentence to SUMMARIES in docs/glimpse_site/env_pages.py"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[a](results.md)", "[a](results.md)"),
        ("[a](../SECURITY.md#reporting)", "[a](security.md#reporting)"),
        ("[a](../README.md)", "[a](index.md)"),
        ("[envs.md](envs.md)", "[](environments/index.md)"),
        ("[training.md](training.md#speed)", "[](training.md#speed)"),
        ("[`reinforce.py`](../agents/reinforce.py)", "`reinforce.py`"),
        ("![a [b]](figures/catch.png)", "![a [b]](figures/catch.png)"),
        ("[a](https://b.org/c.md) [d](#e)", "[a](https://b.org/c.md) [d](#e)"),
        ("`[a](../SECURITY.md)`", "`[a](../SECURITY.md)`"),
        ("```\n[a](../SECURITY.md)\n```", "```\n[a](../SECURITY.md)\n```"),
    ],
)
def test_links_are_changed_to_the_pages_of_the_site(link, expected):
    assert relink(link, "docs/play.md", staged_paths(ROOT)) == expected


def test_links_of_pages_outside_docs():
    paths = staged_paths(ROOT)
    text = "[a](docs/architecture.md) [b](CHANGELOG.md) [c](docs/envs.md) [d](Makefile)"
    assert relink(text, "CONTRIBUTING.md", paths) == (
        "[a](architecture.md) [b](changelog.md) [c](environments/index.md) d"
    )
    assert relink("[a](../CONTRIBUTING.md)", "docs/api/envs.md", paths) == "a"
    assert relink("[a](../../CONTRIBUTING.md)", "docs/api/envs.md", paths) == "[a](../contributing.md)"


def test_staging_removes_what_was_there(tmp_path):
    (tmp_path / "old.md").write_text("old")
    stage_pages(ROOT, tmp_path)
    assert not (tmp_path / "old.md").exists()
    assert (tmp_path / "changelog.md").is_file()
    assert (tmp_path / "examples" / "shapes.py").read_bytes() == (DOCS / "examples" / "shapes.py").read_bytes()
    assert not (tmp_path / "conf.py").exists()


def test_the_table_of_speeds_is_that_of_the_measurement():
    speeds = load_speeds(DOCS / "speed.json")
    env_ids = [name for name in speeds["vector"] if name.startswith("glimpse_gym/")]
    assert len(env_ids) == 5
    page = read_page("docs/architecture.md")
    assert speed_table(speeds, env_ids) in page
    assert f"took {speeds['render_milliseconds']:.1f} ms" in page


def test_a_table_of_speeds_leaves_out_what_was_not_measured():
    rates = {"CartPole-v1": {"steps_per_second": 2000, "ratio": 1.0}, "a": {"steps_per_second": 1500, "ratio": 0.754}}
    speeds = {"num_envs": 3, "vector": rates, "single": {"CartPole-v1": rates["CartPole-v1"], "a": rates["a"]}}
    assert speed_table(speeds, ["a", "b"]).splitlines() == [
        "| | 3 sub-envs, steps/s | ratio | single env, steps/s | ratio |",
        "| --- | --- | --- | --- | --- |",
        "| `CartPole-v1` | 2,000 | 1.00 | 2,000 | 1.00 |",
        "| `a` | 1,500 | 0.75 | 1,500 | 0.75 |",
    ]
