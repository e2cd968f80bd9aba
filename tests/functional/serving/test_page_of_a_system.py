"""The page of a system: a person finds the faces of a photo and compares two of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Server, Start, encoded
from .visitor import Visit, Visitor, file

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
# In the place of the browser's camera, which headless Chromium has none of.
CAMERA = """(name) => {
  navigator.mediaDevices.getUserMedia = async () => {
    if (name) throw new DOMException("", name);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [120, 90];
    const pen = canvas.getContext("2d");
    setInterval(() => { pen.fillStyle = "#369"; pen.fillRect(0, 0, 120, 90); }, 50);
    return canvas.captureStream();
  };
}"""


@pytest.fixture(scope="module")
def group(photos: dict[int, np.ndarray]) -> bytes:
    """A photo of two faces or more."""
    return encoded(photos[2])


def opened(visit: Visit, server: Server, group: bytes, **options: Any) -> Visitor:
    visitor = visit(server, **options).open()
    visitor.choose(file(group, "group.png", "image/png"))
    visitor.answered()
    return visitor


def faces(server: Server, group: bytes) -> list[dict[str, Any]]:
    answer = server.post("/api/faces", content=group, headers={"content-type": "image/png"})
    return answer.json()["results"][0]["faces"]


def test_every_face_of_a_group_is_boxed_with_its_score_and_quality(
    visit: Visit, system_server: Server, group: bytes
) -> None:
    own = faces(system_server, group)
    visitor = opened(visit, system_server, group)
    drawn = visitor.numbers("#drawing .face .edge", "x", "y")
    np.testing.assert_allclose(drawn, [face["box"][:2] for face in own], atol=1e-3)
    cards = visitor.page.locator("#cards .person").all_inner_texts()
    titles = visitor.page.locator("#drawing title").all_text_contents()
    for face, card, title in zip(own, cards, titles, strict=True):
        for text in (f"{face['score']:.3f}", f"eyes {face['quality']['eyes']:.0f} px",
                     f"sharpness {face['quality']['sharpness']:.0f}"):  # fmt: skip
            assert text in card
            assert text in title


def test_two_faces_are_compared_by_score_threshold_and_false_match_rate(
    visit: Visit, system_server: Server, group: bytes
) -> None:
    one, other = (np.array(face["embedding"]) for face in faces(system_server, group)[:2])
    visitor = opened(visit, system_server, group)
    page = visitor.page
    boxes = page.locator("#drawing .face")
    boxes.nth(0).click()
    assert "a second one" in visitor.text("#said")
    page.locator("#cards .person").nth(1).click()
    same = bool(one @ other >= 0.7)
    assert visitor.text("#verdict-text") == ("Same person" if same else "Different people")
    assert float(visitor.text("#score")) == pytest.approx(one @ other, abs=6e-4)
    assert "same from 0.7" in visitor.text("#cut")
    assert "1 in 100 pairs" in visitor.text("#said")
    assert "FMR 0.01" in visitor.text("#said")
    assert page.locator("#cards [aria-pressed=true]").count() == 2
    boxes.nth(1).click()  # it is taken back
    assert page.locator("#match").is_hidden()


def test_a_face_is_compared_with_one_of_another_photo(
    visit: Visit, system_server: Server, group: bytes
) -> None:
    visitor = opened(visit, system_server, group)
    page = visitor.page
    page.locator("#cards .person").nth(0).click()
    visitor.choose(file(group, "again.png", "image/png"))
    visitor.answered()
    assert page.locator("#compared canvas").count() == 1
    page.locator("#cards .person").nth(0).click()
    assert visitor.text("#verdict-text") == "Same person"
    assert float(visitor.text("#score")) == pytest.approx(1, abs=1e-3)
    assert len([url for url in visitor.asked if url.endswith("/api/verify")]) == 0


def test_a_face_has_the_name_that_the_gallery_gives_it(
    visit: Visit, system_server: Server, photos: dict[int, np.ndarray]
) -> None:
    visitor = opened(visit, system_server, encoded(photos[1]))
    assert "Ada 1.000" in visitor.text("#cards")
    assert visitor.page.locator("#drawing text").all_text_contents() == ["Ada"]
    assert "1 face. Ada." in visitor.text("#said")
    assert "from the similarity 0.7 on" in visitor.text("#gallery-said")
    visitor.page.get_by_label("Names from the gallery").select_option("no gallery")
    visitor.page.locator("#cards .known").wait_for(state="detached")
    assert visitor.page.locator("#cards form").count() == 0


def test_a_click_enrols_a_face_under_a_name(
    visit: Visit, start: Start, system: Path, group: bytes, tmp_path: Path
) -> None:
    server = start(system, "--gallery", f"guests={tmp_path / 'guests'}")
    visitor = visit(server).open()
    visitor.expected |= {404, 409}  # nobody is enrolled yet; then a face that looks the same
    visitor.choose(file(group, "group.png", "image/png"))
    page = visitor.answered()
    assert "Nobody is enrolled" in visitor.text("#gallery-said")
    page.get_by_role("button", name="Enrol face 2").click()
    page.get_by_label("Name of face 2").fill("<b>Grace")
    page.keyboard.press("Enter")
    page.locator("#cards .known").first.wait_for()
    assert "<b>Grace 1.000" in page.locator("#cards li").nth(1).inner_text()
    page.get_by_role("button", name="Enrol face 1").click()
    page.get_by_label("Name of face 1").fill("Alan")
    page.keyboard.press("Enter")
    assert "stands under <b>Grace" in visitor.error()
    page.get_by_role("button", name="all the same").click()
    page.get_by_text("Alan 1.000").first.wait_for()
    (told,) = server.get("/api/galleries").json()["galleries"]
    assert (told["people"], told["faces"]) == (2, 2)


def test_a_server_without_galleries_offers_none(
    visit: Visit, start: Start, system: Path, group: bytes
) -> None:
    visitor = opened(visit, start(system), group)
    assert visitor.page.locator("#galleries").is_hidden()
    assert visitor.page.locator("#cards form").count() == 0


def test_it_works_by_touch_on_a_phone(visit: Visit, system_server: Server, group: bytes) -> None:
    visitor = opened(visit, system_server, group, **PHONE)
    page = visitor.page
    page.locator("#drawing .face").nth(0).tap()
    page.locator("#cards .person").nth(1).tap()
    page.locator("#match").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for button in page.locator("#cards .person").all():
        assert button.bounding_box()["height"] >= 44  # a thumb's


def test_the_camera_gives_a_photo(visit: Visit, system_server: Server) -> None:
    visitor = visit(system_server).open()
    page = visitor.page
    page.evaluate(CAMERA, "")
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the picture").click()
    visitor.answered()
    assert visitor.text("#said") == "No faces."
    assert page.locator("#video").is_hidden()
    assert page.evaluate("document.getElementById('video').srcObject") is None


@pytest.mark.parametrize(
    ("error", "told"), [("NotAllowedError", "not allowed"), ("NotFoundError", "no camera")]
)
def test_a_camera_that_is_refused_is_told_in_words(
    visit: Visit, system_server: Server, error: str, told: str
) -> None:
    visitor = visit(system_server).open()
    visitor.page.evaluate(CAMERA, error)
    visitor.page.get_by_role("button", name="Use the camera").click()
    assert re.search(told, visitor.error())
