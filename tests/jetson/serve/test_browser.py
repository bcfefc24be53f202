"""The page in a real browser, on a phone and on a desk: what is shown, what is pressed, what goes wrong."""

import os
import time

import pytest

pytest.importorskip("selenium", reason="the page is driven by selenium")

import browser as browsers
import fake_page
import tiny_bundle
from browser import DESKTOP, PHONE
from fake_page import RunningPage, colour, request

fake_page.require_packages()
browsers.require_browser()

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "a_label_of_two_hundred_signs_" + "x" * 171,
    "לבנה \U0001f9f1 حجر",
    "\u202eright to left & <b>bold</b>",
]


@pytest.fixture(scope="module")
def browser():
    with browsers.Browser() as running:
        yield running


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("browser") / "tiny.bundle")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return tmp_path_factory.mktemp("browser_photos")


@pytest.fixture(scope="module")
def unsure(tmp_path_factory):
    return tmp_path_factory.mktemp("browser_unsure") / "unsure"


@pytest.fixture(scope="module")
def page(bundle, photos, unsure):
    with RunningPage(bundle, str(photos), str(unsure)) as running:
        yield running


@pytest.fixture
def shown(page, browser):
    """The page, open on a phone, with the camera showing red and `unknown` below a half."""
    page.camera.picture = colour(0)
    page.view.unknown_below = 0.5
    browser.open(page.url, PHONE)
    browser.await_text("#answer-label", lambda text: text == "red")
    return page


def seen_colour(browser):
    """Red, green and blue in the middle of the picture that the page shows; None without one."""
    return browser.run(
        """
        const image = document.getElementById("picture"), canvas = document.createElement("canvas");
        if (!image.naturalWidth) return null;
        canvas.width = canvas.height = 1;
        const context = canvas.getContext("2d");
        context.drawImage(image, image.naturalWidth / 2, image.naturalHeight / 2, 1, 1, 0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
        """
    )


def await_colour(browser, label, timeout_s=15.0):
    """Wait until the picture shows a label's colour, which JPEG at quality 80 keeps within some levels."""
    wanted = tiny_bundle.plain(label, 1, 1)[0, 0].astype(int)
    deadline = time.monotonic() + timeout_s
    while True:
        seen = seen_colour(browser)
        if seen is not None and abs(wanted - seen).max() <= 12:
            return
        assert time.monotonic() < deadline, (seen, wanted)
        time.sleep(0.05)


def files(folder):
    return sorted(name for _, _, names in os.walk(str(folder)) for name in names)


def press(browser, selector, text):
    """Click the first button with this text."""
    for button in browser.elements(selector):
        if button.is_displayed() and button.text.split("\n")[0] == text:
            browser.run("arguments[0].scrollIntoView({block: 'center'})", button)
            button.click()
            return
    raise AssertionError([button.text for button in browser.elements(selector)])


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_answer_and_picture_are_shown_with_no_error_and_nothing_from_elsewhere(page, browser, screen):
    page.camera.picture = colour(2)
    browser.open(page.url, screen)
    assert browser.await_text("#answer-label", lambda text: text == "blue")
    await_colour(browser, 2)
    page.camera.picture = colour(0)
    await_colour(browser, 0)
    assert browser.text("#pill") == "live"
    browser.await_text("#rate-chart", lambda text: "/s" in text and "–" not in text)
    assert browser.overflow_px() == 0
    assert browser.console() == []
    assert browser.hosts() == ["127.0.0.1"]


def test_the_slider_makes_the_answer_unknown_and_takes_it_back(shown, browser):
    from selenium.webdriver.common.keys import Keys

    browser.element("#slider").send_keys(Keys.END)
    browser.await_text("#answer-label", lambda text: text == "unknown")
    assert browser.text("#slider-value") == "100 %"
    assert shown.view.unknown_below == 1.0
    browser.element("#slider").send_keys(Keys.HOME)
    browser.await_text("#answer-label", lambda text: text == "red")
    assert "unknown" in browser.text("#changes")


def test_the_frame_that_was_frozen_is_saved_whatever_the_camera_shows_by_then(shown, browser, photos):
    from legoclf.image import read_image

    browser.element("#label-frame").click()
    browser.await_text("#dialog-title", lambda text: text == "What is this?")
    shown.camera.picture = colour(3)
    browser.await_text("#answer-label", lambda text: text == "yellow")
    before = set(files(photos))
    press(browser, "#choices button", "green")
    browser.await_text("#toast", lambda text: text.startswith("Saved as green/"))
    (name,) = set(files(photos)) - before
    pixel = read_image(str(photos / "green" / name))[0, 0]
    assert abs(pixel.astype(int) - tiny_bundle.plain(0, 1, 1)[0, 0]).max() <= 3
    assert not browser.element("#dialog").is_displayed()


def test_a_class_button_takes_a_burst_and_counts(shown, browser, photos):
    before = len(files(photos))
    press(browser, "#classes button", "blue")
    browser.await_text("#toast", lambda text: text == "blue: 2 saved")
    assert len(files(photos)) == before + 2
    assert "blue\n2" in [button.text for button in browser.elements("#classes button")]


def test_a_new_class_gets_its_button(shown, browser):
    browser.element("#new-class-name").send_keys("window 2×2")
    press(browser, "#new-class button", "Add")
    browser.await_text("#classes", lambda text: "window 2×2" in text)
    browser.element("#new-class-name").send_keys("window 2×2")
    press(browser, "#new-class button", "Add")
    browser.await_text("#toast", lambda text: "stands there twice" in text)


def test_harvested_pictures_are_sorted_and_discarded(shown, browser, photos, unsure):
    from selenium.webdriver.support.ui import Select

    from legoclf.jetson.harvest.folder import HarvestFolder
    from legoclf.jetson.jpeg import encode_jpeg

    stems = ["20261125T10203{}000-0123abcd_nohash_000".format(number) for number in range(3)]
    with HarvestFolder(str(unsure), 10**7) as harvest:
        for number, stem in enumerate(stems):
            record = {"time": "", "reason": "unknown", "amount": 0.7, "label": "red", "probability": 0.3}
            harvest.add(stem, encode_jpeg(colour(number)), dict(record, top=[]))
    browser.await_text("#harvest-hint", lambda text: text.startswith("3 of which"))
    Select(browser.element("#items select")).select_by_visible_text("yellow")
    browser.await_text("#harvest-hint", lambda text: text.startswith("2 of which"))
    press(browser, "#items button", "Right")
    browser.await_text("#harvest-hint", lambda text: text.startswith("1 of which"))
    press(browser, "#items button", "Discard")
    browser.await_text("#harvest-hint", lambda text: text.startswith("Nothing yet"))
    assert files(photos / "yellow") == [stems[2] + ".jpg"]
    assert stems[1] + ".jpg" in files(photos / "red")
    assert stems[0] + ".jpg" not in files(photos)


def test_a_lost_camera_is_told_and_when_it_is_back_the_picture_moves_again(shown, browser):
    shown.camera.lose("no frame for 3.0 s")
    browser.await_text(
        "#banner", lambda text: text.startswith("Camera lost ") and "no frame for 3.0 s" in text
    )
    assert browser.text("#pill") == "camera lost"
    assert "stale" in browser.element("#frame").get_attribute("class")
    shown.camera.picture = colour(2)
    shown.camera.come_back()
    await_colour(browser, 2)
    browser.await_text("#pill", lambda text: text == "live")
    assert not browser.element("#banner").is_displayed()


def test_before_there_is_a_camera_the_page_says_that_it_waits(bundle, browser):
    running = RunningPage(bundle)
    running.camera.lose("/dev/video0: No such device")
    with running:
        browser.open(running.url, PHONE)
        browser.await_text("#banner", lambda text: text.startswith("Waiting for the camera (/dev/video0"))
        assert browser.text("#pill") == "waiting"
        running.camera.come_back()
        await_colour(browser, 0)
        assert browser.console() == []


def test_a_device_that_is_gone_is_told_and_when_it_answers_again_all_goes_on(bundle, browser):
    with RunningPage(bundle) as running:
        browser.open(running.url, PHONE)
        await_colour(browser, 0)
        port = running.port
    browser.await_text("#banner", lambda text: text.startswith("No answer from the device"))
    assert browser.text("#pill") == "no answer"
    again = RunningPage(bundle, port=port)
    again.camera.picture = colour(2)
    with again:
        await_colour(browser, 2)
        browser.await_text("#answer-label", lambda text: text == "blue")
        assert not browser.element("#banner").is_displayed()


def test_where_all_streams_are_taken_single_pictures_are_shown(bundle, browser):
    import http.client

    from legoclf.jetson.serve.mjpeg import MOST_STREAMS

    with RunningPage(bundle) as running:
        running.await_answer("red")
        viewers = [http.client.HTTPConnection("127.0.0.1", running.port) for _ in range(MOST_STREAMS)]
        for number, viewer in enumerate(viewers):
            viewer.request("GET", "/stream.mjpg?viewer={}".format(number + 1))
            assert viewer.getresponse().status == 200
        browser.open(running.url, DESKTOP)
        await_colour(browser, 0)
        running.camera.picture = colour(2)
        await_colour(browser, 2)
        for viewer in viewers:
            viewer.close()


@pytest.mark.parametrize("label", range(4))
def test_whatever_a_label_is_it_is_shown_as_text_and_fits_a_phone(hostile_page, browser, label):
    hostile_page.camera.picture = colour(label)
    browser.open(hostile_page.url, PHONE)
    deadline = time.monotonic() + 15.0
    while browser.run("return document.getElementById('answer-label').textContent") != HOSTILE[label]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert browser.overflow_px() == 0
    assert len(browser.elements("img")) == 2
    assert browser.elements("b:not(:empty)") == []
    assert browser.console() == []


@pytest.fixture(scope="module")
def hostile_page(bundle):
    with RunningPage(bundle, labels=HOSTILE) as running:
        yield running


def test_without_a_camera_a_photo_is_answered(bundle, browser, tmp_path):
    from legoclf.jetson.jpeg import encode_jpeg

    path = tmp_path / "my <photo>.jpg"
    path.write_bytes(encode_jpeg(colour(1)))
    with fake_page.served(bundle) as port:
        browser.open("http://127.0.0.1:{}/".format(port), PHONE)
        browser.await_text("#pill", lambda text: text == "ready")
        assert not browser.element("#live").is_displayed()
        browser.element("#files").send_keys(str(path))
        said = browser.await_text("#answers", lambda text: "green" in text)
        assert said.split("\n")[0] == "green"
        path.write_bytes(b"no image")
        browser.element("#files").send_keys(str(path))
        browser.await_text("#toast", lambda text: "image" in text)
        assert browser.overflow_px() == 0
        assert browser.hosts() == ["127.0.0.1"]


_CONTRAST = """
const parse = (text) => text.match(/[0-9.]+/g).map(Number);
const light = (c) => { const v = c.slice(0, 3).map((x) => { x /= 255;
  return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !element.offsetParent || element.closest(".frame, :disabled")) continue;
  let behind = element;
  while (behind && parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const one = light(parse(getComputedStyle(element).color));
  const other = light(parse(getComputedStyle(behind || document.body).backgroundColor));
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (ratio < 4.5) found.push(`${element.tagName} ${element.className} ${element.textContent} ${ratio}`);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(shown, browser, scheme):
    # WCAG 2.2, 1.4.3: 4.5 to 1.
    browser.set_scheme(scheme)
    try:
        assert browser.run(_CONTRAST) == []
    finally:
        browser.set_scheme("light")


def test_all_that_can_be_pressed_has_a_name(shown, browser):
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = ("button", "slider", "textbox", "combobox", "image")
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert len(named) > 10
    assert [each for each in named if not each[1]] == []


def test_what_a_finger_presses_is_large_enough(shown, browser):
    # WCAG 2.2, 2.5.8 asks for 24 pixels; Apple's and Google's guides for 44 and 48.
    small = browser.run(
        "return [...document.querySelectorAll('button, select, .button')].filter((each) => each.offsetParent"
        " && each.offsetHeight < 44).map((each) => each.textContent)"
    )
    assert small == []


def test_with_a_token_the_page_asks_for_it_and_then_shows_all(bundle, browser):
    token = "a-token-of-these-tests"
    with RunningPage(bundle, token=token) as running:
        browser.open(running.url, PHONE)
        field = browser.element("input[type=password]")
        assert browser.overflow_px() == 0
        field.send_keys(token)
        field.submit()
        browser.await_text("#answer-label", lambda text: text == "red")
        await_colour(browser, 0)
        assert request(running.port, "GET", "/state")[0] == 401
