"""Long JSON is read as short JSON is, in pieces."""

from __future__ import annotations

from unittest import mock

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facemodels.serving.http.errors import RequestError
from facemodels.serving.oip import long_json, tensors
from facemodels.serving.oip.long_json import LongNumbers, cut_numbers

SPEC = tensors.TensorSpec("images", "FP32", (-1, 2))
SHAPE = (2, 2)
PARTS = st.sampled_from(["[", "]", ",", " ", "1", "0", "-2.5", "1e2", "[[", "],[", "]]", "\n"])
TEXTS = st.one_of(
    st.lists(PARTS, max_size=14).map("".join),
    st.sampled_from(["[[1,2],[3,4]]", " [ [1 ,2] ,[3, 4 ]]", "[1,2,3,4]", "[1,,3,4]", "[[1,2,3,4]]"]),
)  # fmt: skip


def at_once(text: str) -> list[float] | None:
    try:
        flat = tensors._flat(orjson.loads(text), SPEC, SHAPE)
        return tensors._numbers(flat, SPEC).tolist()
    except (ValueError, RequestError):
        return None


def in_pieces(text: str, piece: int) -> list[float] | None:
    with mock.patch.object(long_json, "_PIECE", piece):
        try:
            return tensors._from_long(LongNumbers(text.encode()), SPEC, SHAPE).ravel().tolist()
        except RequestError:
            return None


@given(text=TEXTS, piece=st.integers(2, 9))
@example(text="[[1,2],[3,4]5]", piece=4)
@example(text="[1,2],[3,4]", piece=4)
def test_a_list_in_pieces_is_the_list_at_once(text: str, piece: int) -> None:
    # Bytes before the first bracket tell whether it is nested; a piece holds them in practice.
    assert in_pieces(text.strip(), max(piece, 3)) == at_once(text)


@given(before=st.text(max_size=9), after=st.text(max_size=9))
def test_lists_are_cut_and_texts_are_not(before: str, after: str) -> None:
    quoted = f'{before}"data":[1,2]'
    request = {"id": quoted, "inputs": [{"data": [1.5, 2]}, {"data": after}]}
    with mock.patch.object(long_json, "LONG", 0):
        text, found = cut_numbers(orjson.dumps(request))
    ((word, numbers),) = found.items()
    request["inputs"][0]["data"] = word
    assert orjson.loads(text) == request
    assert numbers.text == b"[1.5,2]"


@pytest.mark.parametrize("value", [0.25, [], "a", {"a": 1}])
def test_no_call_of_the_parser_holds_the_lock_for_long(value: object) -> None:
    """6 MB of empty lists would keep every other thread waiting for a second."""
    item = {"name": "images", "datatype": "FP32", "shape": [100_000, 2], "data": [value] * 200_000}
    body, sizes, parse = orjson.dumps({"inputs": [item]}), [], orjson.loads

    def loads(text: bytes) -> object:
        sizes.append(len(text))
        return parse(text)

    with mock.patch.object(tensors.orjson, "loads", loads):
        try:
            (found,) = tensors.read(body, None, [SPEC], []).inputs.values()
        except RequestError:
            found = None
    assert (found is None) == (value != 0.25)
    assert max(sizes, default=0) <= long_json._PIECE + 1
