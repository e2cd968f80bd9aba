"""A person before the page at `/`: headless Chromium, what it shows and what it asks for."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Server

CHROMIUM = shutil.which("chromium")
# Nothing but the servers here has an address.
ARGUMENTS = ("--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
EVENT = """([event, aim, files]) => {
  const transfer = new DataTransfer();
  for (const { name, type, data } of files) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  const all = { bubbles: true, cancelable: true };
  const made = event === "paste"
    ? new ClipboardEvent("paste", { ...all, clipboardData: transfer })
    : new DragEvent(event, { ...all, dataTransfer: transfer });
  return document.querySelector(aim).dispatchEvent(made);
}"""


def file(data: bytes, name: str = "face.jpg", mime: str = "image/jpeg") -> dict[str, Any]:
    return {"name": name, "mimeType": mime, "buffer": data}


class Visitor:
    """A page, what its console said and what it asked for.

    `expected` are statuses of answers that the browser itself reports as errors.
    """

    def __init__(self, page: Any, server: Server) -> None:
        self.page = page
        self.server = server
        self.expected: set[int] = set()
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(server.url)

    def open(self) -> Visitor:
        """Until the page knows its model."""
        self.page.locator("#work").wait_for()
        return self

    def choose(self, *files: dict[str, Any], slot: int = 0) -> None:
        self.page.locator("input[type=file]").nth(slot).set_input_files(list(files))

    def hand(self, event: str, *files: dict[str, Any], aim: str = ".zone") -> bool:
        """Drop or paste files; whether the browser would act on the event by itself."""
        packed = [
            {"name": f["name"], "type": f["mimeType"],
             "data": base64.b64encode(f["buffer"]).decode()}
            for f in files
        ]  # fmt: skip
        return self.page.evaluate(EVENT, [event, aim, packed])

    def answered(self) -> Any:
        self.page.locator("#answer").wait_for()
        return self.page

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def error(self) -> str:
        self.page.locator("#alert .alert").wait_for()
        return self.text("#alert")

    def numbers(self, selector: str, *names: str) -> list[list[float]]:
        """Attributes of elements of the drawing."""
        read = "(all, names) => all.map((one) => names.map((name) => +one.getAttribute(name)))"
        return self.page.locator(selector).evaluate_all(read, list(names))

    def close(self) -> None:
        self.page.context.close()
        allowed = [f"status of {status} " for status in self.expected]
        assert [line for line in self.said if not any(part in line for part in allowed)] == []
        elsewhere = [
            url
            for url in self.asked
            if not url.startswith((self.server.url + "/", f"blob:{self.server.url}/", "data:"))
        ]
        assert elsewhere == []


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Debian's chromium is not installed")
    home = {**os.environ, "HOME": str(tmp_path_factory.mktemp("browser"))}
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(ARGUMENTS), env=home
        )
        yield chromium
        chromium.close()


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """Open a server's page; at the end its console must be empty and nobody else asked."""
    visitors: list[Visitor] = []

    def begin(server: Server, **options: Any) -> Visitor:
        visitors.append(Visitor(browser.new_context(**options).new_page(), server))
        return visitors[-1]

    yield begin
    for visitor in visitors:
        visitor.close()
