"""Any body is read as it was meant or refused with a 400: no third way."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.bounded import examples

from facemodels.serving.http.errors import RequestError
from facemodels.serving.oip.tensors import InferenceRequest, TensorSpec, read, write

IMAGES = TensorSpec("images", "FP32", (-1, 3, 2, 2))
OUTPUTS = [TensorSpec("embeddings", "FP32", (-1, 4)), TensorSpec("quality", "FP32", (-1,))]
PICTURES = [TensorSpec("pictures", "UINT8", (-1, -1, -1, 3)), TensorSpec("boxes", "FP32", (-1, 4))]
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
BATCHES = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 4), *map(st.just, (3, 2, 2))), elements=FLOATS
)


def tensor(values: Any, name: str = "images", datatype: str = "FP32", **more: Any) -> dict:
    values = np.asarray(values)
    return {
        "name": name,
        "datatype": datatype,
        "shape": list(values.shape),
        "data": values.tolist(),
        **more,
    }


def ask(request: Any, tail: bytes = b"", *, specs: Any = (IMAGES,)) -> InferenceRequest:
    head = orjson.dumps(request)
    return read(head + tail, len(head) if tail else None, specs, OUTPUTS)


def refused(request: Any, tail: bytes = b"", *, specs: Any = (IMAGES,)) -> str:
    with pytest.raises(RequestError) as caught:
        ask(request, tail, specs=specs)
    assert caught.value.status == 400
    return caught.value.text


def body_refused(body: bytes, header: int | None = None) -> None:
    with pytest.raises(RequestError) as caught:
        read(body, header, [IMAGES], OUTPUTS)
    assert caught.value.status == 400


@given(batch=BATCHES, flat=st.booleans())
def test_json_data_come_through_flat_or_nested(batch: np.ndarray, flat: bool) -> None:
    item = tensor(batch)
    if flat:
        item["data"] = batch.reshape(-1).tolist()
    np.testing.assert_array_equal(ask({"inputs": [item]}).inputs["images"], batch)


@given(batch=BATCHES, padding=st.integers(0, 7))
def test_binary_data_come_through_and_lie_aligned_whatever_the_head_is_long(
    batch: np.ndarray, padding: int
) -> None:
    item = {**tensor(batch), "parameters": {"binary_data_size": batch.nbytes}, "name": "images"}
    del item["data"]
    found = ask({"inputs": [item], "id": "x" * padding}, batch.tobytes()).inputs["images"]
    np.testing.assert_array_equal(found, batch)
    assert found.flags.aligned
    assert found.flags.c_contiguous


@given(batch=BATCHES)
def test_what_is_written_is_read_again_in_both_forms(batch: np.ndarray) -> None:
    for binary in (frozenset(), frozenset({"images"})):
        request = InferenceRequest("7", {}, ("images",), binary)
        body, length = write({"model_name": "m"}, {"images": (IMAGES, batch)}, request)
        answer = orjson.loads(body[:length])
        assert answer["id"] == "7"
        again = read(
            orjson.dumps({"inputs": answer["outputs"]}) + (body[length:] if length else b""),
            len(orjson.dumps({"inputs": answer["outputs"]})) if length else None,
            [IMAGES], OUTPUTS,
        )  # fmt: skip
        np.testing.assert_array_equal(again.inputs["images"], batch)


def test_binary_is_little_endian() -> None:
    data = struct.pack("<12f", *range(12))
    item = {"name": "images", "datatype": "FP32", "shape": [1, 3, 2, 2]}
    item["parameters"] = {"binary_data_size": len(data)}
    found = ask({"inputs": [item]}, data).inputs["images"]
    assert found.reshape(-1).tolist() == list(range(12))


def test_two_binary_inputs_are_taken_in_the_order_of_the_json() -> None:
    boxes = np.arange(4, dtype="<f4").reshape(1, 4)
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)

    def described(values, name, datatype):
        item = tensor(values, name, datatype, parameters={"binary_data_size": values.nbytes})
        del item["data"]
        return item

    request = {
        "inputs": [described(boxes, "boxes", "FP32"), described(pixels, "pictures", "UINT8")]
    }
    found = ask(request, boxes.tobytes() + pixels.tobytes(), specs=PICTURES)
    np.testing.assert_array_equal(found.inputs["boxes"], boxes)
    np.testing.assert_array_equal(found.inputs["pictures"], pixels)


def test_one_input_may_be_binary_and_the_other_json() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    item = tensor(pixels, "pictures", "UINT8", parameters={"binary_data_size": 12})
    del item["data"]
    request = {"inputs": [item, tensor([[0, 0, 2, 2]], "boxes")]}
    assert ask(request, pixels.tobytes(), specs=PICTURES).inputs["boxes"].dtype == np.float32


ZEROS = np.zeros((1, 3, 2, 2), np.float32)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"}, {"name": None}, {"name": 3}, {"name": ["images"]},
        {"datatype": "FP64"}, {"datatype": "fp32"}, {"datatype": None}, {"datatype": []},
        {"shape": [1, 3, 2, 3]}, {"shape": [12]}, {"shape": []}, {"shape": None}, {"shape": "1"},
        {"shape": [1.0, 3, 2, 2]}, {"shape": [True, 3, 2, 2]}, {"shape": [-1, 3, 2, 2]},
        {"shape": [0, 3, 2, 2]}, {"shape": [2, 3, 2, 2]}, {"shape": [2**63, 3, 2, 2]},
        {"shape": [1 << 20, 3, 2, 2]}, {"shape": [[1], 3, 2, 2]}, {"shape": [1, 3, 2, 2, 1]},
        {"data": None}, {"data": {}}, {"data": "0" * 12}, {"data": []}, {"data": [0] * 11},
        {"data": [0] * 13}, {"data": [0] * 11 + [True]}, {"data": [False] * 12},
        {"data": ["0"] * 12}, {"data": [None] * 12}, {"data": [0] * 11 + ["1"]},
        {"data": [0] * 11 + [None]}, {"data": [0] * 11 + [[1]]}, {"data": [[0] * 12]},
        {"data": [{}] * 12}, {"data": [0] * 11 + [1e39]}, {"data": [0] * 11 + [1e308]},
        {"data": [[[[0, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0]]]]},
        {"data": [[[0, 0, 0, 0]] * 3]}, {"data": [[[[0, 0], [0, 0]]] * 3, []]},
        {"parameters": []}, {"parameters": "binary"}, {"parameters": {"binary_data_size": 48}},
    ],
)  # fmt: skip
def test_a_wrong_tensor_is_refused(change: dict) -> None:
    refused({"inputs": [{**tensor(ZEROS), **change}]})


@pytest.mark.parametrize(
    ("size", "length"),
    [(48, 47), (48, 49), (47, 47), (49, 49), (-48, 48), (True, 48), (48.0, 48), ("48", 48), (None, 48), (2**62, 48), (0, 1)],
)  # fmt: skip
def test_binary_data_of_another_size_are_refused(size: Any, length: int) -> None:
    item = tensor(ZEROS, parameters={"binary_data_size": size})
    del item["data"]
    refused({"inputs": [item]}, bytes(length))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_binary_values_that_are_not_finite_are_refused(value: float) -> None:
    item = tensor(ZEROS, parameters={"binary_data_size": 48})
    del item["data"]
    assert "finite" in refused({"inputs": [item]}, struct.pack("<12f", *[0] * 11, value))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 5000])
def test_json_values_that_are_not_finite_are_refused(text: str) -> None:
    good = orjson.dumps({"inputs": [tensor(ZEROS)]})
    assert b"0.0" in good
    body_refused(good.replace(b"0.0", text.encode(), 1))


@pytest.mark.parametrize(
    "data", [[256] + [0] * 11, [-1] + [0] * 11, [1.0] * 12, [True] * 12, [2**64 - 1] * 12, []]
)
def test_bytes_are_whole_numbers_from_0_to_255(data: list) -> None:
    item = {"name": "pictures", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": data}
    refused({"inputs": [item, tensor([[0, 0, 2, 2]], "boxes")]}, specs=PICTURES)


@pytest.mark.parametrize(
    "request_",
    [
        {}, [], 1, None, "x", {"inputs": None}, {"inputs": {}}, {"inputs": []}, {"inputs": [1]},
        {"inputs": [tensor(ZEROS)] * 2}, {"inputs": [tensor(ZEROS)], "id": 7},
        {"inputs": [tensor(ZEROS)], "parameters": []},
        {"inputs": [tensor(ZEROS)], "parameters": {"binary_data_output": 1}},
        {"inputs": [tensor(ZEROS)], "outputs": [1]},
        {"inputs": [tensor(ZEROS)], "outputs": {}, "id": ""} | {"outputs": 5},
        {"inputs": [tensor(ZEROS)], "outputs": [{"name": "no"}]},
        {"inputs": [tensor(ZEROS)], "outputs": [{"name": ["quality"]}]},
        {"inputs": [tensor(ZEROS)], "outputs": [{"name": "quality"}] * 2},
        {"inputs": [tensor(ZEROS)], "outputs": [{"name": "quality", "parameters": 1}]},
        {"inputs": [tensor(ZEROS)], "outputs": [{"name": "quality", "parameters": {"binary_data": "yes"}}]},
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused(request_: Any) -> None:
    refused(request_)


@pytest.mark.parametrize(
    ("header", "body"), [(0, b""), (3, b"{}"), (1, b"{}"), (2, b"{}x"), (10**12 - 1, b"{}")]
)
def test_a_head_that_is_not_in_the_body_is_refused(header: int, body: bytes) -> None:
    body_refused(body, header)


@pytest.mark.parametrize(
    "place", ["inputs", "name", "datatype", "shape", "data", "parameters", "id", "outputs"]
)
def test_deep_nesting_is_refused_and_overflows_no_stack(place: str) -> None:
    for depth in (100, 1000, 1020, 5000, 100_000):
        deep = "[" * depth + "]" * depth
        item = {key: orjson.dumps(value).decode() for key, value in tensor(ZEROS).items()}
        top = {"inputs": None, "id": '"a"'}
        if place in ("inputs", "id", "outputs"):
            top[place] = deep
        else:
            item[place] = deep
        top["inputs"] = (
            top["inputs"] or "[{" + ",".join(f'"{k}":{v}' for k, v in item.items()) + "}]"
        )
        body_refused(("{" + ",".join(f'"{k}":{v}' for k, v in top.items()) + "}").encode())


def test_outputs_are_chosen_and_each_may_be_binary() -> None:
    base = {"inputs": [tensor(ZEROS)]}
    every = ask(base)
    assert (every.outputs, every.binary) == (("embeddings", "quality"), frozenset())
    everything = ask({**base, "parameters": {"binary_data_output": True}, "outputs": []})
    assert everything.binary == {"embeddings", "quality"}
    mixed = ask({
        **base, "parameters": {"binary_data_output": True, "priority": 3},
        "outputs": [{"name": "quality", "parameters": {"binary_data": False}}, {"name": "embeddings"}],
    })  # fmt: skip
    assert (mixed.outputs, mixed.binary) == (("quality", "embeddings"), {"embeddings"})


def test_optional_fields_may_be_null() -> None:
    request = {
        "inputs": [tensor(ZEROS, parameters=None)],
        "id": None,
        "parameters": None,
        "outputs": None,
    }
    assert ask(request).id is None


def test_an_output_that_is_not_finite_is_no_server_error() -> None:
    with pytest.raises(RequestError) as caught:
        write(
            {},
            {"images": (IMAGES, np.full((1, 2), np.nan, np.float32))},
            InferenceRequest(None, {}, ("images",), frozenset()),
        )
    assert caught.value.status == 400


def test_names_of_a_client_are_shortened_and_made_printable() -> None:
    text = refused({"inputs": [tensor(ZEROS, name="é\x00" * 5000)]})
    assert text.isascii()
    assert len(text) < 300


GOOD_BINARY = orjson.dumps({
    "id": "1",
    "inputs": [
        {"name": "pictures", "datatype": "UINT8", "shape": [1, 2, 2, 3], "parameters": {"binary_data_size": 12}},
        {"name": "boxes", "datatype": "FP32", "shape": [1, 4], "data": [0, 0.5, 2, 2]},
    ],
    "outputs": [{"name": "quality", "parameters": {"binary_data": True}}],
})  # fmt: skip


@settings(max_examples=examples(1500), deadline=None)
@given(data=st.data())
def test_any_mutation_of_bytes_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(GOOD_BINARY + bytes(range(12)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        cut = data.draw(st.integers(0, 3))
        body[at : at + cut] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"[", b"]", b"9" * 30, b"null", b"-", b"e9"])
        )
    header = data.draw(st.just(len(GOOD_BINARY)) | st.none() | st.integers(0, 400))
    _read_or_refuse(bytes(body), header)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | FLOATS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["name", "data", "shape", "parameters", "binary_data_size", "binary_data"]), inner, max_size=3
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=examples(1500), deadline=None)
@given(data=st.data())
def test_any_mutation_of_values_is_read_or_refused(data: st.DataObject) -> None:
    request = orjson.loads(GOOD_BINARY)
    target: Any = data.draw(st.sampled_from([request, *request["inputs"], *request["outputs"]]))
    key = data.draw(st.sampled_from([*target, "parameters", "data", "extra"]))
    target[key] = data.draw(JSON)
    head = orjson.dumps(request)
    _read_or_refuse(head + bytes(12), len(head))


def _read_or_refuse(body: bytes, header: int | None) -> None:
    refusal, found = None, None
    try:
        found = read(body, header, PICTURES, OUTPUTS)
    except RequestError as problem:
        refusal = problem
    if found is None:
        assert refusal is not None
        assert refusal.status == 400
        assert len(refusal.text) < 400
        return
    pictures, boxes = found.inputs["pictures"], found.inputs["boxes"]
    assert pictures.dtype == np.uint8
    assert pictures.ndim == 4
    assert boxes.dtype == np.float32
    assert boxes.shape == (len(pictures), 4)
    assert np.isfinite(boxes).all()
    assert set(found.outputs) <= {"embeddings", "quality"}
