"""Small ONNX detectors with the outputs of SCRFD, RetinaFace and YOLOv8."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from tests.unit.importing.graphs import model, value

SIDE = 64  # pixels
STRIDES = (8, 16, 32)


def _head(name: str, stride: int, channels: int, rng: np.random.Generator, low: float) -> tuple:
    """A convolution over cells of a stride; `low` is the least of its offsets."""
    weights = rng.normal(0, 0.3 / stride, (channels, 3, stride, stride)).astype(np.float32)
    bias = (low + rng.uniform(0, 2, channels)).astype(np.float32)
    tensors = [
        numpy_helper.from_array(weights, f"{name}.w"),
        numpy_helper.from_array(bias, f"{name}.b"),
    ]
    node = helper.make_node(
        "Conv", ["x", f"{name}.w", f"{name}.b"], [f"{name}.map"], strides=[stride, stride],
        kernel_shape=[stride, stride],
    )  # fmt: skip
    return node, tensors


def _rows(name: str, width: int, *, batch: bool) -> tuple:
    """(1, C, h, w) to rows of a width, as exporters write it."""
    shape = np.array([1, -1, width] if batch else [-1, width], np.int64)
    nodes = [
        helper.make_node("Transpose", [f"{name}.map"], [f"{name}.t"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", [f"{name}.t", f"{name}.shape"], [f"{name}.rows"]),
    ]
    return nodes, [numpy_helper.from_array(shape, f"{name}.shape")]


def scrfd(
    *, points: bool = True, logit: bool = False, anchors: int = 2, free: bool = False
) -> bytes:
    """Nine outputs: scores, distances and points of three strides."""
    rng = np.random.default_rng(5)
    nodes: list[Any] = []
    tensors: list[Any] = []
    outputs: list[Any] = []
    parts = [("score", 1, -2.0), ("bbox", 4, 0.2), *([("kps", 10, -0.5)] if points else [])]
    for (kind, width, low), stride in product(parts, STRIDES):
        name = f"{kind}_{stride}"
        node, own = _head(name, stride, width * anchors, rng, low)
        more, shapes = _rows(name, width, batch=False)
        nodes += [node, *more]
        tensors += [*own, *shapes]
        last = "Sigmoid" if kind == "score" and not logit else "Identity"
        nodes.append(helper.make_node(last, [f"{name}.rows"], [name]))
        outputs.append(value(name, [None, width]))
    side: Any = "s" if free else SIDE
    return model(nodes, inputs=[value("x", [1, 3, side, side])], outputs=outputs, tensors=tensors)


def retinaface(*, logit: bool = False) -> bytes:
    """Three outputs of one row a prior: offsets, two classes, points."""
    rng = np.random.default_rng(6)
    nodes: list[Any] = []
    tensors: list[Any] = []
    for kind, width in (("loc", 4), ("conf", 2), ("landms", 10)):
        for stride in STRIDES:
            name = f"{kind}_{stride}"
            node, own = _head(name, stride, width * 2, rng, -1.0)
            more, shapes = _rows(name, width, batch=True)
            nodes += [node, *more]
            tensors += [*own, *shapes]
        rows = [f"{kind}_{stride}.rows" for stride in STRIDES]
        nodes.append(helper.make_node("Concat", rows, [f"{kind}.all"], axis=1))
        last = ("Softmax", {"axis": -1}) if kind == "conf" and not logit else ("Identity", {})
        nodes.append(helper.make_node(last[0], [f"{kind}.all"], [kind], **last[1]))
    outputs = [
        value(kind, [1, None, width]) for kind, width in (("loc", 4), ("conf", 2), ("landms", 10))
    ]
    return model(nodes, inputs=[value("x", [1, 3, SIDE, SIDE])], outputs=outputs, tensors=tensors)


def yolo(width: int = 20) -> bytes:
    """One output (1, C, A): boxes in pixels, a score, and points with how visible they are."""
    rng = np.random.default_rng(7)
    node, tensors = _head("all", 8, width, rng, 0.0)
    cells = (SIDE // 8) ** 2
    gain = np.ones((1, width, 1), np.float32)
    gain[:, :4] = 8.0
    tensors += [
        numpy_helper.from_array(np.array([1, width, cells], np.int64), "shape"),
        numpy_helper.from_array(gain, "gain"),
        numpy_helper.from_array(np.array([4, 1, width - 5], np.int64), "parts"),
    ]
    nodes = [
        node,
        helper.make_node("Reshape", ["all.map", "shape"], ["flat"]),
        helper.make_node("Mul", ["flat", "gain"], ["scaled"]),
        helper.make_node("Split", ["scaled", "parts"], ["box", "logit", "rest"], axis=1),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
        helper.make_node("Concat", ["box", "score", "rest"], ["y"], axis=1),
    ]
    shape = [1, width, cells]
    return model(
        nodes, inputs=[value("x", [1, 3, SIDE, SIDE])], outputs=[value("y", shape)], tensors=tensors
    )
