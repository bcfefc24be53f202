"""A real browser for tests of the page: Debian's Chromium without a window, steered by Selenium."""

import json
import shutil
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

#: Width, height and whether it is a phone.
PHONE = (360, 740, True)
DESKTOP = (1280, 900, False)

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, and load nothing from elsewhere
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


def require_browser() -> Any:
    """Selenium's webdriver; skips the test, with the reason, where it, Chromium or its driver is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="the page is driven by selenium")
    for program, package in (("chromium", "chromium"), ("chromedriver", "chromium-driver")):
        if shutil.which(program) is None:
            pytest.skip(f"not installed: {package} (tests/system.py installs it)")
    return webdriver


class Browser:
    """A browser with an empty profile; a context manager."""

    def __init__(self) -> None:
        webdriver = require_browser()
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in _FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.messages: list[str] = []
        self.asked: list[str] = []

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.driver.quit()

    def resize(self, screen: tuple[int, int, bool]) -> None:
        """Be a screen of so many CSS pixels, touched by fingers if it is a phone."""
        width, height, is_phone = screen
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if is_phone else 1}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", dict(size, mobile=is_phone))

    def set_scheme(self, scheme: str) -> None:
        """Prefer "light" or "dark"."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def open(self, url: str, screen: tuple[int, int, bool]) -> None:
        """Load a page, and forget what was said and asked before."""
        self.driver.get("about:blank")
        self._read_logs()
        self.messages, self.asked = [], []
        self.resize(screen)
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def element(self, selector: str) -> Any:
        """The first element of a CSS selector."""
        return self.driver.find_element("css selector", selector)

    def elements(self, selector: str) -> list[Any]:
        """All of them."""
        found: list[Any] = self.driver.find_elements("css selector", selector)
        return found

    def text(self, selector: str) -> str:
        """What is shown there; nothing where it is hidden or not there."""
        return "".join(str(element.text) for element in self.elements(selector)[:1])

    def await_text(self, selector: str, holds: Callable[[str], bool], timeout_s: float = 15.0) -> str:
        """Wait until the text is as wanted; a failure of the test after the time, with what it was."""
        deadline = time.monotonic() + timeout_s
        while True:
            text = self.text(selector)
            if holds(text):
                return text
            assert time.monotonic() < deadline, f"{selector}: after {timeout_s} s {text!r}"
            time.sleep(0.05)

    def overflow_px(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(
            self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )

    def console(self) -> list[str]:
        """What the console has told since :meth:`open`."""
        self._read_logs()
        return self.messages

    def hosts(self) -> list[str]:
        """The hosts that were asked for anything since :meth:`open`, each once."""
        self._read_logs()
        urls = [urlsplit(url) for url in self.asked]
        return sorted({str(url.hostname) for url in urls if url.scheme not in ("blob", "data", "about")})

    def _read_logs(self) -> None:
        self.messages += [entry["message"] for entry in self.driver.get_log("browser")]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
