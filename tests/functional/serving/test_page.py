"""The page at `/` in headless Chromium, as a person meets it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facemodels.serving.http import tokens

from .conftest import GOLDEN, Server, Start
from .visitor import Visit, file

JPEG = {"content-type": "image/jpeg"}


def picture(
    width: int = 120, height: int = 90, *, seed: int = 0, form: str = "JPEG", **save: Any
) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **save)
    return stream.getvalue()


def test_the_page_says_which_version_of_which_package_answers(
    visit: Visit, face_server: Server
) -> None:
    visitor = visit(face_server).open()
    info = face_server.get("/api/model/info").json()
    assert visitor.text("h1").split() == ["recognition-facenet", "1.2.3"]
    assert visitor.page.title() == "recognition-facenet 1.2.3"
    assert visitor.text("#status") == "not registered"
    short = visitor.text("#digest").rstrip("…")
    assert len(short) >= len("sha256:") + 8
    assert info["package_digest"].startswith(short)
    assert visitor.page.locator("#digest").get_attribute("title") == info["package_digest"]
    assert re.fullmatch(r"\d+ s|\d+ min \d+ s", visitor.text("#uptime"))


def test_the_policy_of_the_page_admits_no_other_origin(face_server: Server) -> None:
    policy = face_server.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "connect-src 'self'" in policy


def test_every_face_is_drawn_where_the_answer_has_it(
    visit: Visit, detection_server: Server
) -> None:
    data = picture()
    own = detection_server.post(
        "/api/detect", content=data, headers=JPEG, params={"threshold": "0"}
    ).json()["results"][0]["faces"]
    assert own
    visitor = visit(detection_server).open()
    visitor.choose(file(data))
    page = visitor.answered()
    page.locator("#slider").fill("0")
    assert len(own) == page.locator("#drawing .face").count()
    sides = ("x", "y", "width", "height")
    drawn = visitor.numbers("#drawing .face .edge", *sides)
    x0, y0, x1, y1 = np.array([face["box"] for face in own]).T
    np.testing.assert_allclose(drawn, np.stack([x0, y0, x1 - x0, y1 - y0], 1), atol=1e-3)
    page.locator("#list summary").click()
    listed = page.locator("#faces button").all_inner_texts()
    assert [re.search(r": (\d\.\d+) ", text)[1] for text in listed] == [
        f"{face['score']:.3f}" for face in own
    ]
    assert page.locator("#drawing").get_attribute("aria-label") == visitor.text("#said")


def test_the_slider_starts_at_the_threshold_of_the_model_and_chooses_among_the_faces(
    visit: Visit, detection_server: Server
) -> None:
    data = picture()
    answer = detection_server.post(
        "/api/detect", content=data, headers=JPEG, params={"threshold": "0"}
    ).json()
    scores = sorted(face["score"] for face in answer["results"][0]["faces"])
    visitor = visit(detection_server).open()
    visitor.choose(file(data))
    page = visitor.answered()
    threshold = detection_server.get("/api/model/info").json()["threshold"]
    assert float(page.locator("#slider").input_value()) == pytest.approx(threshold)
    assert visitor.text("#slider-value") == f"{threshold:.2f}"
    asked = len(visitor.asked)
    for value in ("0", "0.02", "0.5", "1"):
        page.locator("#slider").fill(value)
        shown = sum(score >= float(value) for score in scores)
        assert page.locator("#drawing .face").count() == shown, value
        assert (str(shown) if shown else "No face") in visitor.text("#said")
    page.locator("#slider").focus()
    page.keyboard.press("Home")
    assert page.locator("#drawing .face").count() == len(scores)
    assert len(visitor.asked) == asked  # the server is not asked again


def test_the_boxes_are_visible_on_the_picture(visit: Visit, detection_server: Server) -> None:
    visitor = visit(detection_server).open()
    visitor.choose(file(picture()))
    page = visitor.answered()

    def yellow() -> int:
        shot = Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB")
        close = np.abs(np.asarray(shot, int) - (255, 210, 63)).max(axis=2) < 8
        return int(close.sum())

    page.locator("#slider").fill("1")
    without = yellow()
    page.locator("#slider").fill("0")
    assert yellow() > without + 200


def test_68_points_are_drawn_where_the_answer_has_them(
    visit: Visit, landmark_server: Server
) -> None:
    data = picture()
    answer = landmark_server.post("/api/landmarks", content=data, headers=JPEG).json()
    visitor = visit(landmark_server).open()
    visitor.choose(file(data))
    visitor.answered()
    drawn = visitor.numbers("#drawing .point", "cx", "cy")
    np.testing.assert_allclose(drawn, answer["results"][0]["points"], atol=1e-3)
    assert visitor.text("#said") == "68 points in the picture."


@pytest.mark.parametrize("by", ["drag", "keyboard"])
def test_points_are_fitted_to_a_box_that_is_dragged_or_typed(
    visit: Visit, landmark_server: Server, by: str
) -> None:
    data = picture()
    visitor = visit(landmark_server).open()
    visitor.choose(file(data))
    page = visitor.answered()
    if by == "drag":
        page.locator("#stage").scroll_into_view_if_needed()
        stage = page.locator("#stage").bounding_box()
        at = [(stage["x"] + stage["width"] * u, stage["y"] + stage["height"] * v)
              for u, v in ((0.25, 0.2), (0.75, 0.8))]  # fmt: skip
        page.mouse.move(*at[0])
        page.mouse.down()
        page.mouse.move(*at[1], steps=3)
        page.mouse.up()
    else:
        page.get_by_label("Left").focus()
        for value in ("30", "18", "90", "72"):
            page.keyboard.press("ControlOrMeta+A")
            page.keyboard.type(value)
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    page.get_by_text("68 points in the box.").wait_for()
    box = [float(page.locator(f"#{side}").input_value()) for side in ("x0", "y0", "x1", "y1")]
    assert box == pytest.approx([30, 18, 90, 72], abs=0 if by == "keyboard" else 0.6)
    answer = landmark_server.post(
        "/api/landmarks", content=data, headers=JPEG, params={"box": ",".join(map(str, box))}
    ).json()
    drawn = visitor.numbers("#drawing .point", "cx", "cy")
    np.testing.assert_allclose(drawn, answer["results"][0]["points"], atol=1e-3)
    page.get_by_role("button", name="Whole picture").click()
    page.get_by_text("68 points in the picture.").wait_for()
    assert page.get_by_label("Right", exact=True).input_value() == "120"


@pytest.mark.parametrize("seed", [0, 1], ids=["same", "another"])
def test_two_pictures_give_the_match_score_of_the_answer_and_its_verdict(
    visit: Visit, face_server: Server, seed: int
) -> None:
    one, other = picture(), picture(seed=seed) if seed == 0 else bytes(picture(40, 200, seed=seed))
    answer = face_server.post("/api/verify", files=[("image", one), ("image", other)]).json()
    visitor = visit(face_server).open()
    visitor.choose(file(one))
    visitor.page.get_by_text("Now the second picture.").wait_for()
    visitor.choose(file(other), slot=1)
    page = visitor.answered()
    assert visitor.text("#verdict-text") == (
        "Same person" if answer["same_person"] else "Different people"
    )
    assert float(visitor.text("#score")) == pytest.approx(answer["similarity"], abs=6e-4)
    assert f"{answer['threshold']:.3f}" in visitor.text("#cut")
    meter = page.get_by_role("meter", name="Match score")
    assert float(meter.get_attribute("aria-valuenow")) == pytest.approx(answer["similarity"])
    bar, mark = page.locator(".bar").bounding_box(), page.locator("#mark").bounding_box()
    lowest = float(meter.get_attribute("aria-valuemin"))
    at = (min(answer["similarity"], 1) - lowest) / (1 - lowest)
    assert (mark["x"] - bar["x"]) / bar["width"] == pytest.approx(at, abs=0.01)


@pytest.mark.parametrize("same", [True, False])
def test_the_verdict_is_the_answers_own(visit: Visit, face_server: Server, *, same: bool) -> None:
    """Random weights find all alike, so the answer is put into the server's mouth."""
    similarity = 0.72214 if same else -0.2
    answer = {"model_name": "recognition-facenet", "model_version": "1.2.3",
              "similarity": similarity, "threshold": 0.7221, "same_person": same}  # fmt: skip
    visitor = visit(face_server).open()
    visitor.page.route("**/api/verify", lambda route: route.fulfill(json=answer))
    visitor.choose(file(picture()), file(picture(seed=1)))
    visitor.answered()
    assert visitor.text("#verdict-text") == ("Same person" if same else "Different people")
    # as many digits as tell the score from the threshold, and a scale that reaches down to it
    assert visitor.text("#score") == ("0.72214" if same else "-0.200")
    assert visitor.text("#lowest") == ("0" if same else "-1")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_pictures_are_dropped_or_pasted(visit: Visit, landmark_server: Server, event: str) -> None:
    visitor = visit(landmark_server).open()
    assert visitor.hand(event, file(picture())) is False  # the browser does not open the file
    visitor.answered()
    assert visitor.page.locator("#drawing .point").count() == 68


def test_two_files_dropped_beside_the_zones_are_compared(visit: Visit, face_server: Server) -> None:
    visitor = visit(face_server).open()
    visitor.hand("drop", file(picture()), file(picture(seed=1)), aim="footer")
    visitor.answered()
    assert visitor.page.locator(".zone img").count() == 2


def test_something_dropped_that_is_no_file_is_not_fetched(
    visit: Visit, landmark_server: Server
) -> None:
    visitor = visit(landmark_server).open()
    assert visitor.hand("drop", aim="body") is False
    assert "no file" in visitor.error()


def test_the_file_chooser_opens_by_keyboard_and_the_same_file_can_be_chosen_again(
    visit: Visit, landmark_server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(picture())
    visitor = visit(landmark_server)
    page = visitor.page
    page.on("filechooser", lambda _: None)  # from here on, not from the key press on
    visitor.open()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "file"
    for _ in range(2):
        with page.expect_file_chooser() as chooser, page.expect_response("**/api/landmarks"):
            page.keyboard.press("Enter")
            chooser.value.set_files(path)
        visitor.answered()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_drawing_lies_on_the_picture_as_it_is_displayed(
    visit: Visit, landmark_server: Server, form: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = picture(160, 60, form=form, exif=exif)
    mime = f"image/{form.lower()}"
    answer = landmark_server.post("/api/landmarks", content=data, headers={"content-type": mime})
    result = answer.json()["results"][0]
    visitor = visit(landmark_server).open()
    visitor.choose(file(data, mime=mime))
    page = visitor.answered()
    natural = page.locator("#picture").evaluate("(one) => [one.naturalWidth, one.naturalHeight]")
    assert natural == [result["width"], result["height"]]
    assert page.locator("#drawing").get_attribute("viewBox") == f"0 0 {natural[0]} {natural[1]}"
    places = page.evaluate(
        "['picture', 'drawing'].map((id) => {"
        " const r = document.getElementById(id).getBoundingClientRect();"
        " return [r.x, r.y, r.width, r.height]; })"
    )
    assert places[0] == pytest.approx(places[1])
    assert places[0][2] / places[0][3] == pytest.approx(natural[0] / natural[1], rel=0.02)


def test_no_picture_is_shown_under_a_drawing_that_would_not_fit_it(
    visit: Visit, landmark_server: Server
) -> None:
    """Chromium shows WebP as it is stored; the server turns it by its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    visitor = visit(landmark_server).open()
    visitor.choose(file(picture(160, 60, form="WEBP", exif=exif), mime="image/webp"))
    page = visitor.answered()
    assert page.locator("#drawing").get_attribute("viewBox") == "0 0 60 160"
    assert page.locator("#picture").is_hidden()
    assert page.locator("#turned").is_visible()
    assert [page.locator(side).input_value() for side in ("#x1", "#y1")] == ["60", "160"]
    visitor.choose(file(picture()))
    page.locator("#turned").wait_for(state="hidden")
    visitor.answered()
    assert page.locator("#picture").is_visible()


def test_a_broken_picture_is_told_in_the_servers_sentence_with_the_requests_id(
    visit: Visit, landmark_server: Server
) -> None:
    visitor = visit(landmark_server).open()
    visitor.expected.add(422)
    visitor.choose(file(picture()))
    visitor.answered()
    with visitor.page.expect_response("**/api/landmarks") as told:
        visitor.choose(file(picture()[:600]))
    body = told.value.json()
    text = visitor.error()
    assert body["error"] in text
    assert body["request_id"] in text
    assert visitor.page.locator("#drawing").count() == 0  # the last answer is not this picture's
    assert landmark_server.wait_for("request", request_id=body["request_id"])["status"] == 422
    visitor.choose(file(picture()))
    visitor.answered()
    assert visitor.text("#alert") == ""


def test_the_broken_one_of_two_pictures_is_named_and_file_names_stay_at_home(
    visit: Visit, face_server: Server
) -> None:
    visitor = visit(face_server).open()
    visitor.expected.add(422)
    with visitor.page.expect_request("**/api/verify") as sent:
        visitor.choose(file(picture(), "Jane Doe.jpg"), file(b"no picture", "John Doe.jpg"))
    assert "The second picture: " in visitor.error()
    assert b"Doe" not in (sent.value.post_data_buffer or b"")


def test_a_file_of_another_type_and_one_that_is_too_large_are_refused_in_words(
    visit: Visit, start: Start
) -> None:
    server = start(GOLDEN, body_bytes=20_000)
    visitor = visit(server).open()
    visitor.expected |= {413, 415}
    visitor.choose(file(b"words", "words.txt", "text/plain"))
    assert "image/jpeg" in visitor.error()
    visitor.choose(file(picture(400, 300)))
    visitor.page.get_by_text("20000 bytes").wait_for()


def test_a_server_that_is_busy_can_be_asked_again(visit: Visit, landmark_server: Server) -> None:
    visitor = visit(landmark_server).open()
    visitor.expected.add(503)
    busy = {"error": "The server is busy.", "code": "busy", "request_id": "abc"}
    visitor.page.route(
        "**/api/landmarks", lambda route: route.fulfill(status=503, json=busy), times=1
    )
    visitor.choose(file(picture()))
    assert "The server is busy." in visitor.error()
    visitor.page.get_by_role("button", name="Try again").click()
    visitor.answered()


def test_a_server_without_words_of_its_own_is_reported_all_the_same(
    visit: Visit, landmark_server: Server
) -> None:
    visitor = visit(landmark_server).open()
    visitor.expected.add(502)
    visitor.page.route(
        "**/api/landmarks", lambda route: route.fulfill(status=502, body="<b>Bad</b>")
    )
    visitor.choose(file(picture()))
    assert "The server answered 502." in visitor.error()


def test_text_of_an_answer_is_never_markup(visit: Visit, landmark_server: Server) -> None:
    visitor = visit(landmark_server).open()
    visitor.expected.add(422)
    evil = {"error": "<img src=x onerror=alert(1)>", "code": "x", "request_id": "<b>1</b>"}
    visitor.page.route("**/api/landmarks", lambda route: route.fulfill(status=422, json=evil))
    visitor.choose(file(picture()))
    assert evil["error"] in visitor.error()
    assert visitor.page.locator("#alert img, #alert b").count() == 0


def test_a_token_is_asked_for_where_the_server_wants_one_and_kept_for_the_tab_alone(
    visit: Visit, start: Start, tmp_path: Path
) -> None:
    known = tmp_path / "tokens.yaml"
    token = tokens.add(known, "person", ["info", "predict"])
    visitor = visit(start(GOLDEN, "--tokens", str(known), open=["page"]))
    visitor.expected.add(401)
    page = visitor.page
    field = page.get_by_label("Token")
    field.wait_for()
    assert visitor.text("#alert") == ""  # nothing went wrong yet
    assert field.get_attribute("type") == "password"
    assert page.locator("#work").is_hidden()
    page.keyboard.type("wrong")  # it has the focus
    page.keyboard.press("Enter")
    page.locator("#access-text", has_text="does not know this token").wait_for()
    page.keyboard.type(f" {token} ")
    page.keyboard.press("Enter")
    visitor.open()
    assert field.is_hidden()
    visitor.choose(file(picture()))
    visitor.answered()
    kept = page.evaluate("[Object.values(sessionStorage), localStorage.length, document.cookie]")
    assert kept == [[token], 0, ""]
    assert not [url for url in visitor.asked if token in url]
    page.reload()
    visitor.open()

    # Voided while the page is open: it asks again, and then goes on with the picture it has.
    visitor.choose(file(picture()))
    visitor.answered()
    token = tokens.add(known, "person", ["info", "predict"])
    visitor.choose(file(picture(seed=1)))
    field.wait_for()
    field.fill(token)
    page.keyboard.press("Enter")
    visitor.answered()
    page.get_by_role("button", name="Forget the token").click()
    field.wait_for()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_token_without_the_scope_is_told_so(visit: Visit, start: Start, tmp_path: Path) -> None:
    known = tmp_path / "tokens.yaml"
    token = tokens.add(known, "monitor", ["info"])
    visitor = visit(start(GOLDEN, "--tokens", str(known), open=["page"]))
    visitor.expected |= {401, 403}
    visitor.page.get_by_label("Token").fill(token)
    visitor.page.keyboard.press("Enter")
    visitor.open()
    visitor.choose(file(picture()))
    visitor.page.get_by_text("lacks the scope predict").wait_for()
    assert visitor.page.get_by_label("Token").is_visible()


def test_every_control_is_reached_by_the_keyboard_and_has_a_name(
    visit: Visit, detection_server: Server
) -> None:
    visitor = visit(detection_server).open()
    visitor.choose(file(picture()))
    page = visitor.answered()
    page.locator("#slider").fill("0")
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(() => { const e = document.activeElement; return e.ariaLabel ||"
                " e.labels?.[0]?.innerText || e.innerText || ''; })()"
            )
        )
    for name in (
        "Picture: choose a file", "Show faces that score at least", "Every face in numbers",
        "The answer as JSON", "API description",
    ):  # fmt: skip
        assert name in reached
    assert page.locator("#said[role=status]").count() == 1
    assert page.locator("#alert[role=alert]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(visit: Visit, face_server: Server, scheme: str) -> None:
    visitor = visit(face_server, color_scheme=scheme).open()
    visitor.choose(file(picture()), file(picture(seed=1)))
    visitor.answered()

    def ratio(selector: str) -> float:
        """WCAG's contrast of an element's text with the nearest ground that is painted."""
        colours = visitor.page.locator(selector).first.evaluate(
            """(one) => {
              let ground = one;
              const paint = () => getComputedStyle(ground).backgroundColor;
              while (paint() === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
              return [getComputedStyle(one).color, paint()];
            }"""
        )
        values = [np.array(re.findall(r"\d+", text)[:3], float) / 255 for text in colours]
        linear = [np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) for v in values]
        dark, light = sorted(float(v @ (0.2126, 0.7152, 0.0722)) for v in linear)
        return (light + 0.05) / (dark + 0.05)

    for selector in ("h1", "#version", "dt", "#status", "#intro", ".zone b", ".zone span",
                     "#verdict-text", "#said", "#answered", "summary", "footer a"):  # fmt: skip
        assert ratio(selector) >= 4.5, selector


@pytest.mark.parametrize("kind", ["landmark_server", "face_server", "detection_server"])
def test_a_narrow_window_needs_no_scrolling_sideways(
    visit: Visit, kind: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(kind)
    visitor = visit(server, viewport={"width": 360, "height": 740}).open()
    visitor.choose(file(picture(900, 300)), slot=0)
    if kind == "face_server":
        visitor.choose(file(picture(200, 700)), slot=1)
    page = visitor.answered()
    for summary in page.locator("summary").all():
        if summary.is_visible():
            summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
