"""The page in headless Chromium: play with mouse, fingers and keys, and the forms of the page."""

import re

import numpy as np
import pytest

from browser_episodes import make_env
from chromium import opened, status, wait_for_status
from glimpse_gym.browser.page import write_page

CLUTTERED, CATCH = "glimpse_gym/ClutteredMNIST-v0", "glimpse_gym/Catch-v0"
CATCH_SEED = 46  # of a ball that is caught by a paddle that moves to the right once


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def true_label(env_id, seed):
    """Label of the first episode of a seed, with the digits of the page."""
    env = make_env(env_id)
    env.reset(seed=seed)
    return int(env.unwrapped.world.labels[0])


# ---------------------------------------------------------------- play


def test_episode_by_keyboard_alone(open_page):
    label = true_label("glimpse_gym/MNIST-v0", 3)
    with open_page("#MNIST-v0/3") as page:
        wait_for_status(page, "Glimpse 1 of 7.")
        press(page, *["Enter", "Space"] * 3)
        wait_for_status(page, "No glimpse is left.")
        press(page, "Enter")  # nothing
        press(page, str(label))
        wait_for_status(page, f"Right, it is {digit(label)}, after 7 glimpses.")
        assert page.locator("#your-score").inner_text() == "1 of 1"
        page.wait_for_function("() => document.getElementById('agent-score').textContent.endsWith(' of 1')")
        press(page, "n")
        wait_for_status(page, "Glimpse 1 of 7.")
        assert page.url.endswith("#MNIST-v0/4")


def test_early_answer_leaves_the_agent_its_glimpses(open_page):
    label = true_label(CLUTTERED, 17)
    wrong = (label + 1) % 10
    with open_page() as page:
        page.get_by_role("button", name=str(wrong), exact=True).click()
        wait_for_status(page, f"It is {digit(label)}. You said {wrong}, after 1 glimpse.")
        assert page.locator("#your-score").inner_text() == "0 of 1"
        expect_text(page, "#agent-status", f"Right: {label}.")
        expect_text(page, "#status", "The agent was right.")
        page.get_by_role("slider").fill("8")
        expect_text(page, "#step-name", "Glimpse 8 of 8")
        assert page.locator("#budget .taken").count() == 1  # the person's own


@pytest.mark.parametrize("address", ["MNIST-v0/3", "MNIST-v0/three", "glimpse_gym/MNIST-v0/3", "MNIST-v0/3/4"])
def test_address_chooses_the_task_even_if_the_rest_is_wrong(open_page, address):
    with open_page(f"#{address}") as page:
        wait_for_status(page, "Glimpse 1 of 7.")
        assert re.search(r"#MNIST-v0/\d+$", page.url)


def test_a_phone_on_its_side_shows_the_image_and_the_buttons(open_page):
    with open_page("#ClutteredMNIST-v0/3", viewport={"width": 844, "height": 390}) as page:
        wait_for_status(page, "Glimpse 1 of 8.")
        for selector in ("#scene", "#answers", "#status"):
            box = page.locator(selector).bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 390


def digit(label):
    return "an 8" if label == 8 else f"a {label}"


def test_both_scores_count_an_episode_that_is_left_at_once(open_page):
    with open_page("#MNIST-v0/3") as page:
        wait_for_status(page, "Glimpse 1 of 7.")
        press(page, "3", "n", "3", "n")
        page.get_by_role("link", name="Catch").click()
        wait_for_status(page, "Click the screen or press space to start.")
        page.get_by_role("link", name="MNIST", exact=True).click()
        wait_for_status(page, "Glimpse 1 of 7.")
        for player in ("your", "agent"):
            assert page.locator(f"#{player}-score").inner_text().endswith(" of 2")


def expect_text(page, selector, text):
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).textContent.includes(text)", arg=[selector, text]
    )


def test_arrows_move_the_gaze(open_page):
    with open_page() as page:
        wait_for_status(page, "Glimpse 1 of 8.")
        before = page.locator("#scene").screenshot()
        page.keyboard.down("ArrowLeft")
        page.wait_for_timeout(300)
        page.keyboard.up("ArrowLeft")
        page.wait_for_timeout(100)
        after = page.locator("#scene").screenshot()
        assert after != before
        page.wait_for_timeout(200)
        assert page.locator("#scene").screenshot() == after  # released


def test_key_that_is_held_down_counts_once(open_page):
    with open_page() as page:
        wait_for_status(page, "Glimpse 1 of 8.")
        hold(page, "Enter")
        assert status(page).startswith("Glimpse 2 of 8.")
        hold(page, "3")
        assert page.locator("#your-score").inner_text().endswith(" of 1")
        assert page.locator("#next").evaluate("button => button === document.activeElement")
        hold(page, "Enter")
        assert status(page).startswith("Glimpse 1 of 8.")
        assert page.url.endswith("/18")


def hold(page, key):
    for _ in range(6):
        page.keyboard.down(key)
        page.wait_for_timeout(20)
    page.keyboard.up(key)
    page.wait_for_timeout(100)


def test_play_by_touch(open_page):
    with open_page(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}) as page:
        wait_for_status(page, "Glimpse 1 of 8. Tap")
        page.locator("#scene").tap()
        wait_for_status(page, "Glimpse 2 of 8.")
        page.get_by_role("button", name="7", exact=True).tap()
        page.get_by_role("button", name="Next image").tap()
        wait_for_status(page, "Glimpse 1 of 8.")


def test_release_outside_of_the_scene_takes_no_glimpse(open_page):
    with open_page() as page:
        wait_for_status(page, "Glimpse 1 of 8.")
        page.locator("#scene").hover()
        page.mouse.down()
        page.mouse.move(2, 2)
        page.mouse.up()
        page.wait_for_timeout(100)
        assert status(page).startswith("Glimpse 1 of 8.")


def test_catch_step_by_step(open_page):
    env = make_env(CATCH)
    outcomes = []
    for moves in ([2] + [1] * 22, [1] * 23, [2] * 23):
        env.reset(seed=CATCH_SEED)
        for move in moves:
            info = env.step({"next_location": np.zeros(2), "move": move})[-1]
        outcomes.append(info["caught"])
        with open_page(f"#Catch-v0/{CATCH_SEED}") as page:
            wait_for_status(page, "Click the screen or press space to start.")
            for move in moves:
                press(page, *["ArrowRight"] * (move == 2), ".")  # a tapped key moves the paddle once
            wait_for_status(page, "Caught." if info["caught"] else "Missed.")
    assert outcomes == [True, False, False]


def test_catch_runs_until_it_is_paused(open_page):
    with open_page(f"#Catch-v0/{CATCH_SEED}") as page:
        wait_for_status(page, "Click the screen or press space to start.")
        page.locator("#pace").fill("8")
        page.get_by_role("button", name="Start").click()
        page.wait_for_function("() => document.querySelectorAll('#budget .taken').length >= 3")
        page.get_by_role("button", name="Pause").click()
        wait_for_status(page, "Paused.")
        paused = page.locator("#scene").screenshot()
        page.wait_for_timeout(300)
        assert page.locator("#scene").screenshot() == paused
        page.get_by_role("button", name="Continue").click()
        wait_for_status(page, "Look with the mouse")
        page.evaluate("window.dispatchEvent(new Event('blur'))")
        wait_for_status(page, "Paused.")
        press(page, "Space")
        page.wait_for_function("() => !document.getElementById('review').hidden")


def test_another_task(open_page):
    with open_page() as page:
        page.get_by_role("link", name="Translated").click()
        wait_for_status(page, "Glimpse 1 of 8.")
        assert re.search(r"#TranslatedMNIST-v0/\d+$", page.url)
        assert page.locator("[aria-current]").inner_text() == "Translated"
        expect_text(page, "#agent-name", "ram-translated60")


def test_address_that_names_no_task_opens_the_first(open_page):
    with open_page("#Nothing-v0/-1") as page:
        wait_for_status(page, "Glimpse 1 of 8.")
        assert re.search(r"#ClutteredMNIST-v0/\d+$", page.url)


# ---------------------------------------------------------------- forms of the page


def test_link_to_the_documentation(browser, tmp_path):
    path = write_page(tmp_path / "play.html", [], documentation='../index.html?a="&b')
    with opened(browser, path) as page:
        link = page.get_by_role("link", name="Documentation")
        assert link.get_attribute("href") == '../index.html?a="&b'
        assert page.locator("#agent").is_hidden()  # the page has none
        press(page, "3")
        wait_for_status(page, "Right, it is", "It is")


@pytest.mark.parametrize("width", [300, 390, 768, 1440])
@pytest.mark.parametrize("task", ["ClutteredMNIST100-v0", "Catch-v0"])
def test_nothing_is_wider_than_the_page(open_page, width, task):
    with open_page(f"#{task}/2", viewport={"width": width, "height": 800}) as page:
        page.wait_for_selector("#board:not([hidden])")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for _ in range(23):
            press(page, ".", "3")
        page.wait_for_selector("#review:not([hidden])")
        page.locator("summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_dark_and_light(open_page):
    colors = []
    for scheme in ("dark", "light"):
        with open_page(color_scheme=scheme) as page:
            colors.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colors == ["rgb(15, 17, 23)", "rgb(250, 249, 246)"]


def test_reduced_motion_shows_the_review_at_once(open_page):
    with open_page(reduced_motion="reduce") as page:
        wait_for_status(page, "Glimpse 1 of 8.")
        expect_text(page, "#certainty", "%")
        press(page, "3")
        assert page.locator("#step").input_value() == "8"


def test_everything_that_can_be_used_has_a_name(open_page):
    with open_page() as page:
        page.wait_for_selector("#board:not([hidden])")
        for control in page.locator("a, button, input, summary, [tabindex]").filter(visible=True).all():
            assert control.evaluate("each => each.ariaLabel || each.innerText || each.labels[0].innerText")


def test_browser_that_cannot_run_agents_says_so(open_page):
    with open_page(script="delete window.DecompressionStream") as page:
        wait_for_status(page, "Glimpse 1 of 8.")
        expect_text(page, "#agent-status", "this browser lacks DecompressionStream")
        press(page, "Enter", "3")
        expect_text(page, "#your-score", " of 1")


def test_browser_that_cannot_run_the_page_says_so(browser, page_file):
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("delete window.BigInt")
    page.goto(page_file.as_uri())
    assert "BigInt is not defined" in page.get_by_role("alert").inner_text()
    context.close()
