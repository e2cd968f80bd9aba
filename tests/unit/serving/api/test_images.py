"""Bodies and forms become images within limits, or a problem that says what was wrong."""

from __future__ import annotations

import base64
import builtins
import io
import json
import struct
import tempfile
import zlib

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.bounded import examples

from facemodels.serving.api.images import RAW, Upload, decode_all, read_upload
from facemodels.serving.http.errors import RequestError
from facemodels.serving.settings import Limits

LIMITS = Limits(images=4, pixels=10_000)


def picture(width: int = 30, height: int = 20, form: str = "PNG", **save) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (9, 99, 199)).save(stream, form, **save)
    return stream.getvalue()


def built(*parts: tuple[str, object]) -> tuple[str, bytes]:
    """A form as httpx makes it."""
    request = httpx.Request("POST", "http://x", files=list(parts))
    return request.headers["content-type"], request.read()


def by_hand(*parts: bytes, boundary: bytes = b"b", end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + end


def part(name: str = 'name="image"', data: bytes = b"x", *more: str) -> bytes:
    head = [f"Content-Disposition: form-data; {name}", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


def refused(kind: str, body: bytes, limits: Limits = LIMITS) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_upload(kind, body, limits)
    return caught.value


@pytest.mark.parametrize(
    "kind", [*RAW, "IMAGE/JPEG", "image/png; charset=binary", " Image/WebP ;q=1"]
)
def test_a_raw_body_is_one_image_whatever_case_and_parameters_its_type_has(kind: str) -> None:
    assert read_upload(kind, b"data", LIMITS) == Upload(("image",), (b"data",))


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "image/gif",
        "application/x-json",
        ";image/jpeg",
        "multipart/mixed; boundary=b",
    ],
)
def test_another_type_is_unsupported(kind: str) -> None:
    assert refused(kind, b"x").status == 415


def test_a_form_of_httpx_gives_its_images_in_order() -> None:
    parts = [("image", (f"{n}.png", picture(n, 5))) for n in (3, 1, 2)]
    upload = read_upload(*built(*parts), LIMITS)
    assert upload.names == ("3.png", "1.png", "2.png")
    assert [p.width for p in decode_all(upload, LIMITS)] == [3, 1, 2]


@pytest.mark.parametrize(
    "kind",
    [
        'multipart/form-data; boundary="b"',
        "Multipart/Form-Data; BOUNDARY=b",
        'multipart/form-data; charset=utf-8; boundary="b"',
    ],
)
def test_boundaries_may_be_quoted_and_headers_of_any_case(kind: str) -> None:
    body = by_hand(part().replace(b"Content-Disposition", b"CONTENT-disposition"))
    assert read_upload(kind, body, LIMITS).data == (b"x",)


def test_bytes_of_an_image_that_look_like_a_boundary_stay_its_own() -> None:
    data = b"\r\n--\r\n--bb\r\n-- b--\r\r\n\x00--b"
    kind = "multipart/form-data; boundary=long-b"
    body = by_hand(part(data=data), boundary=b"long-b", end=b"--long-b--")
    assert read_upload(kind, body, LIMITS).data == (data,)


def test_text_before_and_after_the_form_is_no_part_of_it() -> None:
    body = b"\r\n" + by_hand(part(), part()) + b"epilogue"
    assert len(read_upload("multipart/form-data; boundary=b", body, LIMITS).data) == 2


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data;",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary*=b",
        "multipart/form-data; boundary=" + "b" * 5000,
    ],
)
def test_a_form_without_a_proper_boundary_is_broken(kind: str) -> None:
    assert refused(kind, by_hand(part())).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"", b"x", b"--b", b"--b--", b"--b\r\n", by_hand(part(), end=b""),
        by_hand(part())[:-6], by_hand(part(), end=b"--c--\r\n"), by_hand(b"\r\nx"),
        by_hand(part('filename="a.png"')), by_hand(b"Content-Disposition: attachment; name=image\r\n\r\nx"),
        by_hand(b"Content-Disposition form-data\r\n\r\nx"), by_hand(b": x\r\n\r\nx"),
        by_hand(part('name="image"', b"x", "X-Long: " + "y" * 5000)),
        by_hand(part('name="image"', b"x", *(f"X-{n}: y" for n in range(9)))),
        by_hand(part('name="threshold"', b"0.5"), part()), by_hand(part('name=""')),
    ],
)  # fmt: skip
def test_a_form_that_is_broken_or_holds_no_image_is_refused(body: bytes) -> None:
    assert refused("multipart/form-data; boundary=b", body).status == 400


def test_a_field_that_is_no_image_is_named() -> None:
    body = by_hand(part(), part('name="threshold"', b"0.5"))
    assert refused("multipart/form-data; boundary=b", body).text.startswith("threshold is no image")


def test_a_file_may_come_under_any_field_and_a_field_named_image_without_a_file_name() -> None:
    body = by_hand(part('name="photo"; filename="p.png"'), part('name="image"'))
    assert read_upload("multipart/form-data; boundary=b", body, LIMITS).names == ("p.png", "image")


@pytest.mark.parametrize("count", [5, 1000])
def test_more_parts_than_images_are_allowed_are_refused_at_the_first_too_many(count: int) -> None:
    assert refused("multipart/form-data; boundary=b", by_hand(*[part()] * count)).status == 413


def test_names_are_shortened_and_made_printable() -> None:
    body = by_hand(part('name="image"; filename="\u202e\x07' + "n" * 900 + '"', b"no image"))
    with pytest.raises(RequestError) as caught:
        decode_all(read_upload("multipart/form-data; boundary=b", body, LIMITS), LIMITS)
    assert caught.value.status == 422
    assert caught.value.text.isprintable()
    assert len(caught.value.text) < 200


def test_no_part_of_a_form_is_written_to_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args, **kwargs):
        raise AssertionError("a file was opened")

    kind, body = built(("image", ("a.png", bytes(5_000_000))))
    read_upload(kind, body, LIMITS)  # whatever is imported lazily is imported now
    for name in ("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, forbidden)
    monkeypatch.setattr(builtins, "open", forbidden)
    assert len(read_upload(kind, body, LIMITS).data[0]) == 5_000_000


@settings(max_examples=examples(600), deadline=None)
@given(data=st.data())
def test_any_mutation_of_a_form_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(by_hand(part(data=b"abc"), part('name="image"; filename="f"', b"\r\n--b")))
    for _ in range(data.draw(st.integers(1, 4))):
        at, cut = data.draw(st.integers(0, len(body))), data.draw(st.integers(0, 9))
        body[at : at + cut] = data.draw(
            st.sampled_from([b"", b"\r\n", b"--b", b'"', b";", b"=", b"\xff\x00", b":"])
        )
    kind = data.draw(
        st.sampled_from(
            [
                "multipart/form-data; boundary=b",
                'multipart/form-data; boundary="b',
                "multipart/form-data; boundary=a",
            ]
        )
    )
    try:
        upload = read_upload(kind, bytes(body), LIMITS)
    except RequestError as problem:
        status = problem.status
    else:
        status = 200
        assert 1 <= len(upload.data) <= LIMITS.images
    assert status in (200, 400, 413)


def test_the_limit_of_pixels_is_for_all_images_of_a_request() -> None:
    half = picture(100, 50)
    assert len(decode_all(Upload(("a", "b"), (half, half)), LIMITS)) == 2
    with pytest.raises(RequestError) as caught:
        decode_all(Upload(("a", "b", "c"), (half, half, picture(1, 1))), LIMITS)
    assert caught.value.status == 413
    assert caught.value.text.startswith("c: ")


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "no bytes"), (b"GIF89a", "not a readable"), (picture()[:-30], "broken or truncated")],
)
def test_an_image_that_cannot_be_decoded_is_named_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode_all(Upload(("one.png",), (data,)), LIMITS)
    assert caught.value.status == 422
    assert caught.value.text.startswith("one.png: ")
    assert reason in caught.value.text


def test_what_is_decoded_is_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (found,) = decode_all(Upload(("a",), (picture(30, 20, "JPEG", exif=exif),)), LIMITS)
    assert found.pixels.shape == (30, 20, 3)
    assert found.size == (20, 30)
    assert found.pixels.dtype == np.uint8


@pytest.mark.parametrize("size", [(65_536, 1), (1, 65_536)])
def test_a_side_longer_than_any_jpeg_has_is_too_large(size: tuple[int, int]) -> None:
    with pytest.raises(RequestError) as caught:
        decode_all(Upload(("a",), (picture(*size),)), Limits())
    assert caught.value.status == 413


@pytest.mark.filterwarnings("ignore:Image size")  # Pillow's own, of large pictures
@pytest.mark.parametrize("size", [(7000, 7200), (14_000, 14_000), (2**31 - 1, 1), (30_000, 30_000)])
def test_every_way_of_having_too_many_pixels_is_413(size: tuple[int, int]) -> None:
    data = bytearray(picture())
    data[16:24] = struct.pack(">II", *size)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(RequestError) as caught:
        decode_all(Upload(("a",), (bytes(data),)), Limits())
    assert caught.value.status == 413


def test_images_in_json_are_those_in_a_form() -> None:
    one, other = picture(), picture(20, 30, "JPEG")
    plain, lines = base64.b64encode(one).decode(), base64.encodebytes(other).decode()
    body = json.dumps({"images": [plain, lines, f"data:image/png;base64,{plain}"]}).encode()
    found = read_upload("application/json; charset=utf-8", body, LIMITS)
    assert found == Upload(("image 1", "image 2", "image 3"), (one, other, one))


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({}, 400, "broken_json"), ([], 400, "broken_json"), ({"images": "x"}, 400, "broken_json"),
        ({"images": [1]}, 400, "broken_json"), ({"images": [], "x": 1}, 400, "broken_json"),
        ({"images": []}, 400, "no_image"), ({"images": ["aGk"]}, 400, "broken_base64"),
        ({"images": ["\u00e4"]}, 400, "broken_base64"), ({"images": ["-_-_"]}, 400, "broken_base64"),
        ({"images": ["aGk="] * 5}, 413, "too_many_images"),
        ({"images": [[]] * 1000}, 400, "broken_json"),
    ],
)  # fmt: skip
def test_other_json_is_refused(given: object, status: int, code: str) -> None:
    error = refused("application/json", json.dumps(given).encode())
    assert (error.status, error.code) == (status, code)
    assert refused("application/json", b"{").code == "broken_json"
