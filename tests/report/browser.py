"""A real browser, headless, in which a page is opened as its reader opens it: from a file."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright. Where either is missing, the test is skipped and says so."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: make install")
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM)
        try:
            yield opened
        finally:
            opened.close()


class Opened:
    """A page of a file, and all that it did which a page of ours must not do.

    Attributes:
        requests: addresses that it asked for, besides its own file.
        dialogs: alerts and the like that it opened.
        errors: what it complained of, the content security policy's refusals among it.
        globals: names that its scripts left in the window.
    """

    def __init__(self, browser: Any, file: Path, *, hash: str = "", width: int = 1280, dark: bool = False) -> None:
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(20_000)
        self.page = context.new_page()
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.errors.append(said.text))
        blank = file.with_name("blank.html")
        blank.write_text("<!doctype html>")
        self.page.goto(blank.as_uri())
        before = set(self.page.evaluate(WINDOW))
        context.on("request", lambda request: self.requests.append(request.url))
        self.address = file.as_uri()
        self.page.goto(self.address + hash)
        self.ready()
        self.globals = set(self.page.evaluate(WINDOW)) - before

    def ready(self) -> "Opened":
        self.page.wait_for_selector("html[data-ready]", state="attached")
        return self

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    @property
    def foreign(self) -> list[str]:
        """Addresses of requests for anything but the file itself."""
        return [url for url in self.requests if url.partition("#")[0] != self.address]

    @property
    def hash(self) -> str:
        return self.page.evaluate("decodeURIComponent(location.hash)")

    @property
    def rows(self) -> list[str]:
        """The rows of the table that are in the document."""
        return self.page.locator(".rollouts tbody tr[aria-rowindex]").all_inner_texts()

    @property
    def said(self) -> str:
        """How many rollouts the table has."""
        return self.page.locator(".count").inner_text()

    def open_charts(self) -> None:
        """Unfold all curves and draw each."""
        self.page.evaluate("document.querySelectorAll('details.charts').forEach((fold) => (fold.open = true))")
        for chart in self.page.locator("figure.chart").all():
            chart.scroll_into_view_if_needed()
            chart.locator(".plot > *").first.wait_for()


WINDOW = "Object.getOwnPropertyNames(window)"
