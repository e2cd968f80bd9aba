"""An ONNX file that others made is checked, and brought into the form that is served."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from facemodels.errors import InputError
from facemodels.imaging import crop_named
from facemodels.importing.checks import require
from facemodels.importing.onnx_file import OnnxFile, read
from facemodels.importing.recogniser import ExaminedRecogniser, examine
from facemodels.recognition.task import Preprocessing
from facemodels.runtime import open_graph
from tests.bounded import examples
from tests.unit.importing import graphs
from tests.unit.importing.graphs import SIZE, WEIGHTS, WIDTH, changed, expected, linear, model

STATED = Preprocessing(SIZE, crop=crop_named("arcface112"))
BATCH = np.random.default_rng(1).uniform(-1, 1, (5, 3, SIZE, SIZE)).astype(np.float32)


def examined(data: bytes, **options: str) -> ExaminedRecogniser:
    return examine(data, "x.onnx", STATED, **options)


def failures(data: bytes, **options: str) -> dict[str, str]:
    found = examined(data, **options)
    assert found.graph == b"" or all(check.passed for check in found.checks[:8])
    return {check.name: check.found for check in found.checks if not check.passed}


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("four", [False, True])
def test_every_layout_gives_unit_rows_for_any_number_of_faces(batch, last, four) -> None:
    found = examined(linear(batch=batch, last=last, four=four))
    require(found.checks, "x.onnx")
    run = open_graph(found.graph, threads=1).run
    for count in (1, 2, 5):
        got = run(BATCH[:count])
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected(BATCH[:count]), atol=1e-5)
    assert found.embedding_size == WIDTH
    assert dict(found.facts)["row_by_row"] is (batch == 1)
    assert dict(found.facts)["length_brought_to_1"] is True


def test_a_network_in_half_precision_takes_and_gives_float32() -> None:
    found = examined(linear(half=True))
    require(found.checks, "x.onnx")
    got = open_graph(found.graph, threads=1).run(BATCH)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected(BATCH), atol=5e-3)


def test_the_served_graph_has_our_names_and_a_free_batch_axis() -> None:
    graph = open_graph(examined(linear(batch=1)).graph, threads=1)
    assert (graph.input_name, graph.input_shape) == ("images", (3, SIZE, SIZE))
    assert (graph.output_name, graph.output_shape) == ("embeddings", (WIDTH,))


def test_rows_of_length_one_are_left_as_they_are() -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("LpNormalization", ["m"], ["y"], axis=1),
    ]
    found = examined(model(nodes, tensors=[numpy_helper.from_array(WEIGHTS, "w")]))
    require(found.checks, "x.onnx")
    assert dict(found.facts)["length_brought_to_1"] is False


def test_a_tensor_that_has_our_name_already_is_no_trouble() -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["images"]),
        helper.make_node("MatMul", ["images", "embeddings"], ["y"]),
    ]
    found = examined(model(nodes, tensors=[numpy_helper.from_array(WEIGHTS, "embeddings")]))
    got = open_graph(found.graph, threads=1).run(BATCH)
    np.testing.assert_allclose(got, expected(BATCH), atol=1e-5)


def test_a_graph_that_fixes_the_batch_inside_runs_row_by_row() -> None:
    """A Reshape to one row, as exporters write it, though the batch axis is said to be free."""
    shape = numpy_helper.from_array(np.array([1, 3 * SIZE * SIZE], np.int64), "shape")
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    found = examined(model(nodes, tensors=[shape, numpy_helper.from_array(WEIGHTS, "w")]))
    require(found.checks, "x.onnx")
    assert dict(found.facts)["row_by_row"] is True
    got = open_graph(found.graph, threads=1).run(BATCH)
    np.testing.assert_allclose(got, expected(BATCH), atol=1e-5)


def test_a_free_size_is_the_stated_one_and_a_fixed_one_that_of_the_graph() -> None:
    pool = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    free = model(
        [pool],
        inputs=[graphs.value("x", ["n", 3, "h", "w"])],
        outputs=[graphs.value("y", ["n", 3, 1, 1])],
    )
    found = examine(free, "x.onnx", Preprocessing(24))
    assert found.preprocessing is not None
    assert found.preprocessing.size == 24
    fixed = examine(linear(), "x.onnx", Preprocessing(24))
    assert fixed.preprocessing is not None
    assert fixed.preprocessing.size == SIZE


def test_of_several_outputs_the_embedding_is_found_or_named() -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
        helper.make_node("Neg", ["y"], ["z"]),
        helper.make_node("Identity", ["x"], ["copy"]),
    ]
    w = numpy_helper.from_array(WEIGHTS, "w")
    embedding, negative = (graphs.value(name, ["n", WIDTH]) for name in "yz")
    picture = graphs.value("copy", ["n", 3, SIZE, SIZE])
    one = model(nodes, outputs=[picture, embedding], tensors=[w])
    require(examined(one).checks, "x.onnx")
    two = model(nodes, outputs=[embedding, negative], tensors=[w])
    assert "2 of" in failures(two)["output"]
    found = examined(two, embedding_output_name="z")
    got = open_graph(found.graph, threads=1).run(BATCH)
    np.testing.assert_allclose(got, -expected(BATCH), atol=1e-5)


def test_a_network_that_looks_at_its_neighbours_is_refused() -> None:
    axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("ReduceMean", ["m"], ["mean"], axes=[0]),
        helper.make_node("Add", ["m", "mean"], ["y"]),
    ]
    found = failures(model(nodes, tensors=[axes, numpy_helper.from_array(WEIGHTS, "w")]))
    assert "batches" in found


def test_a_network_that_draws_random_numbers_is_refused() -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("RandomNormalLike", ["m"], ["noise"]),
        helper.make_node("Add", ["m", "noise"], ["y"]),
    ]
    assert "determinism" in failures(model(nodes, tensors=[numpy_helper.from_array(WEIGHTS, "w")]))


@pytest.mark.parametrize(
    ("weights", "check"),
    [
        (np.zeros_like(WEIGHTS), "embedding length"),
        (np.full_like(WEIGHTS, np.nan), "embedding length"),
        (WEIGHTS[:, :1], "embedding size"),
    ],
)
def test_weights_that_are_broken_are_refused(weights: np.ndarray, check: str) -> None:
    assert check in failures(linear(weights=weights))


def test_a_network_with_one_answer_for_all_is_refused() -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    tensors = [
        numpy_helper.from_array(np.zeros_like(WEIGHTS), "w"),
        numpy_helper.from_array(np.ones(WIDTH, np.float32), "b"),
    ]
    assert "different pictures" in failures(model(nodes, tensors=tensors))


def _external(made: onnx.ModelProto) -> None:
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def _set(name: str, number: int):
    def change(made: onnx.ModelProto) -> None:
        if name == "opset":
            made.opset_import[0].version = number
        else:
            made.ir_version = number

    return change


@pytest.mark.parametrize(
    ("data", "check", "words"),
    [
        (changed(linear(), _external), "external data", "1 tensors"),
        (changed(linear(), _set("opset", 8)), "opset", "8"),
        (changed(linear(), _set("opset", 999)), "opset", "999"),
        (changed(linear(), _set("ir", 99)), "IR version", "99"),
        (
            model([helper.make_node("Magic", ["x"], ["y"], domain="acme")], domains=["acme"]),
            "operators",
            "acme::Magic",
        ),
        (linear(batch=4), "batch axis", "fixed to 4"),
        (
            model(
                [helper.make_node("Flatten", ["x"], ["y"])],
                inputs=[graphs.value("x", ["n", 3, 8, 10])],
            ),
            "input",
            "3x8x10",
        ),
        (
            model(
                [helper.make_node("Flatten", ["x"], ["y"])],
                inputs=[graphs.value("x", ["n", 3, 8, 8], TensorProto.UINT8)],
                outputs=[graphs.value("y", ["n", 192], TensorProto.UINT8)],
            ),
            "input",
            "uint8",
        ),
    ],
)
def test_a_file_that_cannot_be_served_is_refused_by_the_name_of_the_check(
    data: bytes, check: str, words: str
) -> None:
    found = examined(data)
    assert found.graph == b""
    (failed,) = [one for one in found.checks if one.name == check]
    assert not failed.passed
    assert words in failed.found
    with pytest.raises(InputError, match=r"x\.onnx cannot be imported") as caught:
        require(found.checks, "x.onnx")
    assert failed.remedy in caught.value.remedy


def test_no_text_of_the_exporter_reaches_the_package() -> None:
    def told(made: onnx.ModelProto) -> None:
        made.doc_string = "/home/someone/model.py"
        made.graph.node[0].doc_string = "/home/someone/layer.py"
        entry = made.graph.node[0].metadata_props.add()
        entry.key, entry.value = "pkg", "/home/someone/stack.py"

    for batch in ("n", 1):
        found = examined(changed(linear(batch=batch), told))
        assert b"someone" not in found.graph


def test_the_same_file_gives_the_same_bytes() -> None:
    assert examined(linear()).graph == examined(linear()).graph


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(InputError, match="no ONNX file"):
        read(data, "x.onnx")


@settings(max_examples=examples(60))
@given(st.data())
def test_a_damaged_model_is_refused_in_words_or_checked(data: st.DataObject) -> None:
    whole = bytearray(linear())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 160))
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(whole)))
    try:
        found = read(bytes(whole[:cut]), "x.onnx")
    except InputError:
        return
    assert isinstance(found, OnnxFile)
    assert len(found.checks) == 5
