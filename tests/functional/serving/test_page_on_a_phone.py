"""The page by touch, over a slow connection, with pictures as phones take them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facemodels.serving.http import tokens

from .conftest import GOLDEN, Server, Start
from .visitor import Visit, file
from .wire import picture

PHONE = {"has_touch": True, "is_mobile": True, "viewport": {"width": 400, "height": 800}}


def touch(page: Any, *places: tuple[float, float]) -> None:
    """Lay a finger down at the first place, draw it over the others and lift it."""
    session = page.context.new_cdp_session(page)
    for number, (x, y) in enumerate(places):
        kind = "touchMove" if number else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_box_is_drawn_with_a_finger(visit: Visit, landmark_server: Server) -> None:
    visitor = visit(landmark_server, **PHONE).open()
    visitor.choose(file(picture(300, 300)))
    page = visitor.answered()
    page.locator("#stage").scroll_into_view_if_needed()
    edge = page.locator("#stage").bounding_box()
    steps = [(0.2 + 0.05 * step, 0.2 + 0.1 * step) for step in range(7)]  # mostly downwards
    with page.expect_request("**/api/landmarks?box=*") as asked:
        touch(page, *((edge["x"] + u * edge["width"], edge["y"] + v * edge["height"])
                      for u, v in steps))  # fmt: skip
    box = [float(number) for number in asked.value.url.partition("box=")[2].split(",")]
    np.testing.assert_allclose(box, [60, 60, 150, 240], atol=3)
    page.get_by_text("68 points in the box").wait_for()


def test_a_slow_upload_shows_how_far_it_is_and_can_be_cancelled(
    visit: Visit, landmark_server: Server
) -> None:
    visitor = visit(landmark_server).open()
    page = visitor.page
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", slow)
    visitor.choose(file(picture(1000, 1000)))
    page.get_by_text("Sending: ").wait_for()
    page.get_by_role("button", name="Cancel").click()
    assert "Cancelled" in visitor.error()
    assert page.locator("#sending").is_hidden()
    session.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    page.get_by_role("button", name="Try again").click()
    visitor.answered()
    assert visitor.text("#alert") == ""


def test_a_picture_with_too_many_bytes_is_shrunk_before_it_is_sent(
    visit: Visit, landmark_server: Server
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1000, 4200, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=0)
    visitor = visit(landmark_server).open()
    with visitor.page.expect_request("**/api/landmarks") as sent:
        visitor.choose(file(stream.getvalue(), mime="image/png"))
    page = visitor.answered()
    assert len(stream.getvalue()) > 10_000_000  # the server would refuse it
    assert sent.value.headers["content-type"] == "image/jpeg"
    assert page.locator("#drawing").get_attribute("viewBox") == "0 0 4096 975"
    assert page.locator("#picture").is_visible()  # the drawing fits what is shown


def test_the_api_is_described_for_people_without_asking_anyone_else(
    visit: Visit, start: Start, tmp_path: Path
) -> None:
    known = tmp_path / "tokens.yaml"
    token = tokens.add(known, "person", ["info", "predict"])
    visitor = visit(start(GOLDEN, "--tokens", str(known), open=["page"]))
    visitor.expected.add(401)
    page = visitor.page
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    visitor.open()
    page.get_by_role("link", name="API description").click()
    page.locator(".opblock", has_text="/api/landmarks").wait_for()
    assert page.locator(".opblock").count() >= 19
