"""YOLOv8: ultralytics' network and loss, without its trainer.

The trainer dates its files and cannot resume to the same bytes, so the loop is ours.
The state dict has ultralytics' own keys: published weights of the same scale fit by name.

Importing ultralytics changes the process (see `_import_ultralytics`), so it happens
inside functions, once, and its side effects are undone.
"""

from __future__ import annotations

import copy
import functools
import io
import os
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from facemodels.detection.batches import SceneBatch
from facemodels.errors import FacemodelsError, InputError
from facemodels.files import write_bytes
from facemodels.runtime import open_graph
from facemodels.yaml_text import parse_yaml

SCALES = ("n", "s", "m", "l", "x")
STRIDES = (8, 16, 32)  # pixels of the input that are one cell of the head's maps
STRIDE = 32  # the input's side is a multiple of this, in pixels
OPSET = 17
# Gains of ultralytics' published recipe: box (CIoU), class (BCE), dfl (box edges).
LOSS_GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5}
EXPORT_TOLERANCE = 1e-4  # part of the input's side; boxes are in pixels


@functools.cache
def _import_ultralytics() -> tuple[type[nn.Module], type[Any]]:
    """Import the network and the loss, and leave the process as it was.

    Left alone, the import looks up DNS, writes settings into HOME, replaces
    `torch.save` and Pillow's `Image.open`, adds warning filters, and sets print
    formats, OpenCV's threads and OMP_NUM_THREADS, which our child processes would inherit.
    """
    environment, save, threads = dict(os.environ), torch.save, cv2.getNumThreads()
    image_open = Image.open
    try:
        with (
            tempfile.TemporaryDirectory(prefix="ultralytics-") as settings,
            np.printoptions(),
            warnings.catch_warnings(),
        ):
            os.environ |= {
                "YOLO_OFFLINE": "true",
                "YOLO_AUTOINSTALL": "false",
                "YOLO_VERBOSE": "false",
                "YOLO_CONFIG_DIR": settings,
            }
            from ultralytics.nn.tasks import DetectionModel
            from ultralytics.utils.loss import v8DetectionLoss
    finally:
        os.environ.clear()
        os.environ |= environment
        torch.save = save
        Image.open = image_open
        torch.set_printoptions(profile="default")  # type: ignore[no-untyped-call]
        cv2.setNumThreads(threads)
    return DetectionModel, v8DetectionLoss


def import_layers() -> None:
    """Import ultralytics' layers, and leave the process as it was."""
    _import_ultralytics()


def build(*, scale: str = "n") -> nn.Module:
    """Make a YOLOv8 face detector with random weights (seed torch first).

    In training mode it gives the raw output that `loss` reads; in evaluation mode
    float32 (B, 5, A): centre x, centre y, width, height in pixels, score 0 to 1.

    Args:
        scale: width and depth, one of `SCALES`; "n" has 3.0 million parameters.

    Raises:
        InputError: there is no such scale.
    """
    if scale not in SCALES:
        raise InputError(f"YOLOv8 has no scale {scale!r}.", f"Use one of {', '.join(SCALES)}.")
    network, _ = _import_ultralytics()
    model = network({**_layers(), "scale": scale}, nc=1, verbose=False)
    # The loss takes its gains from here, as ultralytics' trainer would set them.
    vars(model)["args"] = SimpleNamespace(**LOSS_GAINS)
    # Otherwise evaluation gives the raw output too, as a tuple.
    _head(model).export = True
    return model


def _layers() -> dict[str, Any]:
    """ultralytics' description of YOLOv8.

    Given its bare name, the network would take a file of that name in the current folder for it.
    """
    _import_ultralytics()
    from ultralytics.utils import ROOT

    path = ROOT / "cfg" / "models" / "v8" / "yolov8.yaml"
    return parse_yaml(path.read_text(encoding="utf-8"), str(path))


def _head(model: nn.Module) -> Any:
    """The last layer, which ultralytics calls Detect."""
    return cast(Any, model).model[-1]


def outputs(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What a network in training mode says of pictures, in one tensor that `loss` reads.

    Args:
        model: from `build`, in training mode.
        images: float32 (B, 3, S, S), RGB, 0 to 1.

    Returns:
        (B, E + 1, A): for each of A anchors the E numbers of a box's edges and a class score.
    """
    raw = model(images)
    return torch.cat([raw["boxes"], raw["scores"]], dim=1)


def loss(model: nn.Module, found: torch.Tensor, batch: SceneBatch) -> torch.Tensor:
    """Box, class and edge loss of a batch: a scalar, mean per picture.

    Args:
        model: from `build`; only its shape is read.
        found: the `outputs` of the pictures.
        batch: the pictures, which may hold no face.
    """
    _, criterion = _import_ultralytics()
    batch = batch.to(found.device)
    side = batch.images.shape[-1]
    corner, opposite = batch.boxes[:, :2], batch.boxes[:, 2:]
    targets = {
        "batch_idx": batch.box_image.to(batch.boxes.dtype),
        "cls": torch.zeros_like(batch.boxes[:, 0]),
        # ultralytics wants centre and size as parts of the side
        "bboxes": torch.cat([(corner + opposite) / 2, opposite - corner], dim=1) / side,
    }
    edges = 4 * _head(model).reg_max
    said = {
        "boxes": found[:, :edges],
        "scores": found[:, edges:],
        # Of the maps that the head looked at, the loss wants their sides.
        "feats": [found.new_empty(1, 1, side // step, side // step) for step in STRIDES],
    }
    parts, _ = criterion(model)(said, targets)
    # ultralytics multiplies by the batch size, which would tie the clipping of
    # gradients to it.
    return cast(torch.Tensor, parts.sum() / len(batch.images))


def export_onnx(model: nn.Module, path: Path, image_size: int) -> float:
    """Write the evaluation graph as ONNX; equal weights give equal bytes.

    Input "images" float32 (B, 3, S, S), RGB, 0 to 1; output "predictions" float32
    (B, 5, A), see `build`. B is free, S is fixed.

    Args:
        model: from `build`; it is not changed.
        path: the file to write.
        image_size: S in pixels, a multiple of `STRIDE`.

    Returns:
        Largest difference between ONNX Runtime and torch; boxes are in pixels.

    Raises:
        InputError: the size does not fit the strides.
        FacemodelsError: the exported graph computes something else.
    """
    if image_size <= 0 or image_size % STRIDE:
        raise InputError(
            f"image_size {image_size} is no multiple of {STRIDE}.",
            "YOLOv8 halves the side 5 times.",
        )
    frozen = copy.deepcopy(model).cpu().float().eval()
    data = _onnx_bytes(frozen, image_size)
    error = _export_error(frozen, data, image_size)
    if error > EXPORT_TOLERANCE * image_size:
        raise FacemodelsError(
            f"The ONNX graph of the detector differs from torch by {error:.3g}.",
            "Check the versions of torch and onnxruntime against requirements.lock.",
        )
    write_bytes(path, data)
    return error


@torch.no_grad()
def _onnx_bytes(model: nn.Module, image_size: int) -> bytes:
    """Trace the model; torch's older exporter writes no path, date or docstring."""
    example, buffer = torch.zeros(1, 3, image_size, image_size), io.BytesIO()
    # The head keeps its last grid of anchors. Make it afresh, before the trace: the graph
    # then holds it as a constant, and none made in inference mode can break the trace.
    _head(model).shape = None
    model(example)
    with warnings.catch_warnings():
        # torch would rather have us use dynamo's exporter, but that embeds source paths.
        warnings.filterwarnings("ignore", "You are using the legacy", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        # The head asks whether its grid still fits: always, for S is fixed.
        warnings.filterwarnings("ignore", "Converting a tensor to a Python boolean")
        torch.onnx.export(
            model,
            (example,),
            cast(Any, buffer),  # works, but the stubs know paths only
            input_names=["images"],
            output_names=["predictions"],
            dynamic_axes={"images": {0: "batch"}, "predictions": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def _export_error(model: nn.Module, data: bytes, image_size: int) -> float:
    """Return the largest difference between ONNX Runtime and torch on two noise pictures."""
    rng = np.random.default_rng(0)
    images = rng.random((2, 3, image_size, image_size), dtype=np.float32)
    served = open_graph(data, threads=1).run(images)
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).numpy()
    return float(np.abs(served - expected).max())
