"""The tensors of a model that has not one graph: images in, what its predictor says out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.package.load import Package
from facemodels.serving.api import boxes
from facemodels.serving.oip.documents import FACES
from facemodels.serving.oip.tensors import TensorSpec
from facemodels.system.task import predict

Inputs = Mapping[str, NDArray[Any]]
_IMAGES = TensorSpec("images", "UINT8", (-1, -1, -1, 3))
_BOXES = TensorSpec("boxes", "FP32", (-1, 4))
_FACE = 5  # numbers of a face without points: box and score


def specs(package: Package) -> tuple[list[TensorSpec], TensorSpec]:
    """What the inputs and the output of a package are.

    A detector gives one row a face: the row of its image, x0 y0 x1 y1, the score, and where it
    finds points, x and y of each. A system gives the embedding in their place. Images without a
    face have no row.
    """
    shape = package.metadata["output_shape"]
    if package.task == "landmarks":
        return [_IMAGES, _BOXES], TensorSpec("points", "FP32", (-1, *shape))
    if package.task == "recognition":
        return [_IMAGES], TensorSpec("embeddings", "FP32", (-1, *shape))
    # `Interface` of a detector that finds points: (0, 15); of a system: (0, 5 + D).
    width = shape[1] if shape[0] == 0 else _FACE
    return [_IMAGES], TensorSpec(FACES, "FP32", (-1, 1 + width))


def run(task: str, predictor: Any, inputs: Inputs) -> NDArray[np.float32]:
    """Answer an inference request.

    Raises:
        RequestError: 400 for a box far from its image.
    """
    return _RUNS[task](predictor, inputs)


def _landmarks(predictor: Any, inputs: Inputs) -> NDArray[np.float32]:
    images, faces = inputs["images"], inputs["boxes"]
    boxes.check(faces, np.array([[images.shape[2], images.shape[1]]]))
    points: NDArray[np.float32] = predictor.fit(list(images), faces)
    return points


def _recognition(predictor: Any, inputs: Inputs) -> NDArray[np.float32]:
    embeddings: NDArray[np.float32] = predictor.embed(list(inputs["images"]))
    return embeddings


def _detection(predictor: Any, inputs: Inputs) -> NDArray[np.float32]:
    rows = []
    for number, found in enumerate(predictor.detect(list(inputs["images"]))):
        columns = [np.full((len(found), 1), number), found.boxes, found.scores[:, None]]
        if found.points is not None:
            columns.append(found.points.reshape(len(found), 2 * found.points.shape[1]))
        rows.append(np.concatenate(columns, axis=1, dtype=np.float32))
    return np.concatenate(rows)


def _system(predictor: Any, inputs: Inputs) -> NDArray[np.float32]:
    found = predict(predictor, list(inputs["images"]))
    numbers = np.repeat(np.arange(len(found)), [len(faces) for faces in found])
    return np.concatenate([numbers[:, None], np.concatenate(found)], axis=1, dtype=np.float32)


_RUNS: Mapping[str, Callable[[Any, Inputs], NDArray[np.float32]]] = {
    "detection": _detection,
    "recognition": _recognition,
    "landmarks": _landmarks,
    "system": _system,
}
