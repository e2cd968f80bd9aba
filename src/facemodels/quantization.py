"""Turns an ONNX graph into one that computes in 8-bit integers: static quantisation.

A weight gets one scale for each output channel, an activation one for the whole tensor, from
the least and the largest value that calibration inputs gave it. Nodes of other operators than
the named ones stay float32.

Activations are unsigned and weights signed, the pair that CPUs multiply in one instruction
(VNNI). CPUs without it clip the sum of two products at 16 bits, so that their outputs differ
a little from those elsewhere (docs/variants.md).

Sources: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018; ONNX Runtime's `quantize_static`, whose parts
are called here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import InputError
from facemodels.params import Int8

METHOD = "static, MinMax, uint8 activations by tensor, int8 weights by channel"
_STEPS = 256  # a bound of a range is rounded outward to a step of this part of its power of two


def quantize(source: Path, target: Path, batches: Sequence[NDArray[np.float32]], how: Int8) -> None:
    """Write the int8 form of the ONNX graph `source` to `target`.

    The same graph, inputs and settings give the same bytes. The ranges are rounded outward, so
    that another CPU, on which the last bits of the activations differ, gives them too.

    Args:
        source: a graph with one input.
        target: the file to write.
        batches: what the graph gets when it is calibrated, float32 with any number of rows.
        how: the settings.

    Raises:
        InputError: there are no batches, or the graph has no node of the named operators.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import create_calibrator
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not batches:
        raise InputError("there is no image to calibrate with.", "Give a val split that has some.")
    with tempfile.TemporaryDirectory(prefix="facemodels-int8-") as scratch, _quiet():
        prepared = Path(scratch, "prepared.onnx")
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        model = load_model_with_shape_infer(prepared)
        chosen = _chosen(model.graph.node, how, source)
        calibrator = create_calibrator(
            prepared,
            list(how.operators),
            augmented_model_path=str(Path(scratch, "augmented.onnx")),
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={},
        )
        calibrator.collect_data(_reader(model.graph.input[0].name, batches))
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=_rounded(calibrator.compute_data()),
            nodes_to_quantize=chosen,
            nodes_to_exclude=[],
            op_types_to_quantize=list(how.operators),
            extra_options={},
        )
        quantizer.quantize_model()
        quantizer.model.save_model_to_file(str(target), False)


def _chosen(nodes: Sequence[Any], how: Int8, source: Path) -> list[str]:
    """Names of the nodes that are to compute in int8."""
    kept = [re.compile(pattern) for pattern in how.keep_float]
    names = [
        node.name
        for node in nodes
        if node.op_type in how.operators and not any(p.match(node.name) for p in kept)
    ]
    if not names:
        raise InputError(
            f"{source} has no {', '.join(how.operators)} that may compute in int8.",
            "Correct `int8.operators` and `int8.keep_float` in conf/model/.",
        )
    return names


def _reader(name: str, batches: Sequence[NDArray[np.float32]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.waiting = iter(batches)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self.waiting, None)
            return None if batch is None else {name: batch}

    return Reader()


def _rounded(ranges: Any) -> Any:
    """The calibrated ranges with their bounds rounded outward."""
    from onnxruntime.quantization.calibrate import TensorData

    for name, found in list(ranges.items()):
        low, high = (np.float32(np.squeeze(bound)) for bound in found.range_value)
        ranges[name] = TensorData(lowest=-outward(-low), highest=outward(high))
    return ranges


def outward(bound: np.float32) -> np.float32:
    """The next multiple of a 256th of its power of two that is not below a bound."""
    if bound == 0:
        return bound
    step = 2.0 ** np.floor(np.log2(abs(bound))) / _STEPS
    return np.float32(np.ceil(float(bound) / step) * step)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantiser prints, and warns of what is in order here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
