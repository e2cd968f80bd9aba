"""An ONNX detector that others made, with one of the decodes that facemodels knows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.architecture.contract import Interface
from facemodels.detection.decodes.heads import POINTS, HeadDetector, PictureInput
from facemodels.errors import InputError
from facemodels.importing.architecture import DETECTOR, Described
from facemodels.importing.behaviour import runtime_errors
from facemodels.importing.canonical import cleaned, finished, image_input
from facemodels.importing.checks import ImportCheck
from facemodels.importing.onnx_file import OnnxFile, read
from facemodels.names import ModelName
from facemodels.runtime import RunAll, onnx_session

DECODES = ("scrfd", "retinaface", "yolov8")
_ANCHORS = (2, 1, 3)  # of a point; tried in this order
_SCORE, _BOX, _TWO, _PLACES = 1, 4, 2, 2 * POINTS  # widths of outputs
_SUM_TOLERANCE = 1e-3  # of two probabilities


@dataclass(frozen=True)
class ExaminedDetector:
    """A detector whose file was looked at.

    Attributes:
        checks: everything that was looked at.
        graph: the bytes of the served form; empty where a check did not pass.
        picture: how a picture becomes the input, with the size of the graph.
        decode: for config.yaml: the `name` of the steps behind the graph, and their values.
        has_points: whether it gives five points.
        facts: for metadata.json.
    """

    checks: tuple[ImportCheck, ...]
    graph: bytes = b""
    picture: PictureInput | None = None
    decode: Mapping[str, Any] | None = None
    has_points: bool = False
    facts: tuple[tuple[str, object], ...] = ()

    def model(self, *, threads: int) -> HeadDetector:
        """The detector around the served graph."""
        assert self.picture is not None  # noqa: S101  (`checks.require` came before)
        config = {"decode": self.decode, "preprocessing": self.picture.as_config()}
        return _detector(_run_all(self.graph, threads=threads), config)

    def described(self, name: ModelName, title: str) -> Described:
        """What the package says of it."""
        assert self.picture is not None  # noqa: S101  (likewise)
        return Described(
            name.task,
            name.architecture,
            title,
            Interface((0, 0, 3), (0, 5 + (_PLACES if self.has_points else 0))),
            self.picture.as_config(),
            self.decode,
        )


def examine(
    data: bytes, name: str, stated: PictureInput, decode: str, values: Mapping[str, Any]
) -> ExaminedDetector:
    """Check a file, find its outputs' layout and run it on pictures.

    Args:
        data: the bytes of the ONNX file.
        name: its name, for messages.
        stated: how a picture becomes the input; `size` counts where the graph leaves it free.
        decode: one of `DECODES`.
        values: of the decode, where they are not those that the outputs' shapes tell.

    Raises:
        InputError: the bytes are no ONNX model.
        ParamsError: `values` do not fit the decode.
    """
    file = read(data, name)
    images, found = image_input(file, stated.size)
    checks = [*file.checks, *found]
    if images is None or not all(check.passed for check in checks):
        return ExaminedDetector(tuple(checks))
    checks += _own_input(file, channels_last=images.channels_last)
    if not checks[-1].passed:
        return ExaminedDetector(tuple(checks))
    picture = stated.model_copy(update={"size": images.size})
    model = cleaned(file)
    graph = finished(model, model.graph)
    outputs = _tried(graph, picture)
    if isinstance(outputs, ImportCheck):
        return ExaminedDetector((*checks, outputs))
    layout = _LAYOUTS[decode](outputs[0], outputs[1], images.size)
    if layout is None:
        shapes = ", ".join(str(output.shape) for output in outputs[0])
        remedy = f"Those of {decode} are {_WANTED[decode]}: give another --decode or --size."
        return ExaminedDetector((*checks, ImportCheck("decode", False, shapes, remedy)))
    chosen = {"name": decode, **layout, **values}
    config = {"decode": chosen, "preprocessing": picture.as_config()}
    found_faces = _behaviour(_detector(_run_all(graph, threads=1), config), picture.size)
    if isinstance(found_faces, ImportCheck):
        return ExaminedDetector((*checks, found_faces))
    has_points, behaviour = found_faces
    return ExaminedDetector(
        (*checks, ImportCheck("decode", True, _told(chosen)), *behaviour),
        graph,
        picture,
        chosen,
        has_points,
        (("opset", file.opset),),
    )


def _detector(run: RunAll, config: Mapping[str, Any]) -> HeadDetector:
    name = config["decode"]["name"]
    module = import_module(f"facemodels.detection.decodes.{name}")
    made: HeadDetector = module.decode({DETECTOR: run}, config)
    return made


def _run_all(graph: bytes, *, threads: int) -> RunAll:
    session = onnx_session(graph, threads=threads)
    (source,) = session.get_inputs()
    return lambda batch: tuple(session.run(None, {source.name: batch}))


def _own_input(file: OnnxFile, *, channels_last: bool) -> list[ImportCheck]:
    from onnx import TensorProto

    (port,) = file.inputs
    usable = port.type == TensorProto.FLOAT and not channels_last
    remedy = "A detector's input must be float32, batch, 3, height, width: export it so."
    return [ImportCheck("input layout", usable, str(port), remedy)]


def _tried(
    graph: bytes, picture: PictureInput
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] | ImportCheck:
    """The outputs for a grey picture and for one of noise."""
    size = picture.size
    grey = np.full((size, size, 3), 114, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    try:
        run = _run_all(graph, threads=1)
        one, other = (list(run(picture(square))) for square in (grey, noise))
    except runtime_errors() as error:
        reason = " ".join(str(error).split())[:300]
        return ImportCheck("runs", False, reason, "ONNX Runtime does not run it: export it again.")
    return one, other


def _scrfd(
    grey: Sequence[NDArray[np.float32]], noise: Sequence[NDArray[np.float32]], size: int
) -> dict[str, Any] | None:
    """Levels by their number of rows, many rows first; each has a score, a box and maybe points."""
    found = {width: _by_rows(grey, width) for width in (_SCORE, _BOX, _PLACES)}
    rows = sorted(found[_SCORE], reverse=True)
    if not rows or sorted(found[_BOX], reverse=True) != rows:
        return None
    if found[_PLACES] and sorted(found[_PLACES], reverse=True) != rows:
        return None
    for anchors in _ANCHORS:
        strides = [_stride(size, count, anchors) for count in rows]
        if None not in strides:
            scores = [np.concatenate([one[found[_SCORE][n]].ravel() for n in rows])
                      for one in (grey, noise)]  # fmt: skip
            return {
                "strides": strides,
                "anchors": anchors,
                "scores": [found[_SCORE][count] for count in rows],
                "boxes": [found[_BOX][count] for count in rows],
                "points": [found[_PLACES][count] for count in rows] if found[_PLACES] else [],
                "score": "probability" if all(_are_shares(one) for one in scores) else "logit",
            }
    return None


def _retinaface(
    grey: Sequence[NDArray[np.float32]], noise: Sequence[NDArray[np.float32]], size: int
) -> dict[str, Any] | None:
    found = {width: _by_rows(grey, width) for width in (_BOX, _TWO, _PLACES)}
    if len(found[_BOX]) != 1 or found[_TWO].keys() != found[_BOX].keys():
        return None
    (scores,) = found[_TWO].values()
    sums = np.concatenate([one[scores].reshape(-1, _TWO).sum(axis=1) for one in (grey, noise)])
    probable = bool(np.abs(sums - 1).max() <= _SUM_TOLERANCE)
    return {
        "boxes": next(iter(found[_BOX].values())),
        "scores": scores,
        "points": next(iter(found[_PLACES].values()), None),
        "score": "probability" if probable and _are_shares(noise[scores]) else "logit",
    }


def _yolov8(
    grey: Sequence[NDArray[np.float32]], noise: Sequence[NDArray[np.float32]], size: int
) -> dict[str, Any] | None:
    from facemodels.detection.decodes.yolov8 import WIDTHS

    fits = len(grey) > 0 and grey[0].ndim == 3 and grey[0].shape[1] in WIDTHS
    return {} if fits and _are_shares(noise[0][:, 4]) else None


_LAYOUTS = {"scrfd": _scrfd, "retinaface": _retinaface, "yolov8": _yolov8}
_WANTED = {
    "scrfd": "for each stride (…, 1), (…, 4) and with points (…, 10), of stride² cells",
    "retinaface": "(…, 4), (…, 2) and with points (…, 10), of one row a prior",
    "yolov8": "(1, 5, A), or with points (1, 15, A) or (1, 20, A), scores in 0..1",
}


def _by_rows(outputs: Sequence[NDArray[np.float32]], width: int) -> dict[int, int]:
    """The places of the outputs of one width, by their number of rows."""
    return {
        output.size // width: place
        for place, output in enumerate(outputs)
        if output.ndim >= 2 and output.shape[-1] == width
    }


def _stride(size: int, rows: int, anchors: int) -> int | None:
    """The stride of a level with so many rows; None if there is none."""
    side = math.isqrt(rows // anchors)
    if not side or side * side * anchors != rows:
        return None
    stride = round(size / side)
    return stride if stride and -(-size // stride) == side else None


def _are_shares(values: NDArray[np.float32]) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _told(decode: Mapping[str, Any]) -> str:
    """The layout, for people."""
    kept = {key: value for key, value in decode.items() if key != "name" and value is not None}
    return ", ".join([str(decode["name"]), *(f"{key} {value}" for key, value in kept.items())])


def _behaviour(detector: HeadDetector, size: int) -> tuple[bool, list[ImportCheck]] | ImportCheck:
    """Run the whole detector on a picture that is not square, twice."""
    shape = (size // 2 + 3, size + 5, 3)
    picture = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    try:
        (one,), (other,) = detector.detect([picture]), detector.detect([picture])
    except InputError as error:
        return ImportCheck("decode", False, error.what.rstrip("."), error.remedy)
    parts = [
        (a if a is not None else np.empty(0)).tobytes()
        for found in (one, other)
        for a in (found.boxes, found.scores, found.points)
    ]
    same = parts[:3] == parts[3:]
    return one.points is not None, [
        ImportCheck(
            "determinism", same, "two runs, compared bit by bit",
            "It draws random numbers: export it in evaluation mode.",
        ),
        ImportCheck("points", True, "five a face" if one.points is not None else "none"),
    ]  # fmt: skip
