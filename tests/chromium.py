"""Headless Chromium for tests of the page: the one of this machine, since its packages bring none."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path() -> str:
    """Path of Chromium: $CHROMIUM, or a program of one of its names. Skips the test if there is none."""
    if chosen := os.environ.get("CHROMIUM"):
        return chosen
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(f"there is no Chromium: none of {', '.join(_NAMES)} is installed; install one, or set CHROMIUM")
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, and stop it in the end."""
    path = chromium_path()
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # root cannot have one
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, path: Path, address: str = "", script: str = "", **settings) -> Iterator[Page]:
    """Open a page in a context of its own; fails if it asks for anything but itself, or has an error.

    Args:
        browser: from :func:`chromium`.
        path: the page.
        address: the part of the address from `#` on.
        script: JavaScript that runs before the page's.
        **settings: of the context; see Playwright's `Browser.new_context`.
    """
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}} | settings)
    try:
        page = context.new_page()
        page.set_default_timeout(20_000)
        if script:
            page.add_init_script(script)
        requests, errors = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        url = path.as_uri() + address
        page.goto(url)
        yield page
    finally:
        context.close()
    assert errors == []
    assert [each for each in requests if not each.startswith(("data:", path.as_uri()))] == []


def status(page):
    return page.get_by_role("status").inner_text()


def wait_for_status(page, *starts):
    """Wait until the status starts with one of these texts."""
    found = "starts => starts.some((each) => document.getElementById('status').textContent.startsWith(each))"
    page.wait_for_function(found, arg=starts)
