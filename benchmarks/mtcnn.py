"""MTCNN served by ONNX Runtime beside facenet-pytorch, which its weights come from.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.mtcnn PACKAGE --images FOLDER --count 200

Both see each image in turn, on one thread, after a warm-up. Times are of the processor, so that
other programs on the machine count little; the wall's are given beside them.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from facenet_pytorch import MTCNN

from facemodels import imaging
from facemodels.detection.task import Detections
from facemodels.package.load import open_package

_WARM_UP = 5


def main() -> None:
    """Print times and differences as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="a folder; searched in depth")
    parser.add_argument("--count", type=int, default=200, help="images, drawn by a seed")
    options = parser.parse_args()
    paths = sorted(p for p in options.images.rglob("*") if p.suffix in imaging.EXTENSIONS)
    drawn = random.Random(1).sample(paths, min(options.count, len(paths)))  # noqa: S311
    images = [imaging.decode(path) for path in drawn]
    print(json.dumps(measure(options.package, images), indent=2))


def measure(package: Path, images: list[Any]) -> dict[str, Any]:
    """p50 of both in ms, and the largest difference of boxes and points in pixels."""
    torch.set_num_threads(1)
    ours = open_package(package).predictor(threads=1)
    settings = ours.settings
    original = MTCNN(
        select_largest=False, min_face_size=settings.min_face_size,
        thresholds=list(settings.thresholds), factor=settings.factor,
    )  # fmt: skip
    for image in images[:_WARM_UP]:
        ours.detect([image])
        original.detect(image, landmarks=True)
    times: dict[str, list[tuple[float, float]]] = {"graphs": [], "facenet-pytorch": []}
    worst, faces, other_counts = [0.0, 0.0], 0, 0
    for image in images:
        (found,) = _timed(lambda image=image: ours.detect([image]), times["graphs"])
        expected = _timed(
            lambda image=image: original.detect(image, landmarks=True), times["facenet-pytorch"]
        )
        if len(found) != (0 if expected[0] is None else len(expected[0])):
            other_counts += 1
            continue
        faces += len(found)
        worst = [
            max(pair) for pair in zip(worst, _differences(found, expected, image), strict=True)
        ]
    return {
        "images": len(images),
        "faces": faces,
        "images_with_other_counts": other_counts,
        "largest_difference_px": {"box": worst[0], "point": worst[1]},
        "p50_ms": {
            name: {
                "processor": float(np.median([cpu for cpu, _ in rows])) * 1e3,
                "wall": float(np.median([wall for _, wall in rows])) * 1e3,
            }
            for name, rows in times.items()
        },
    }


def _timed(call: Any, times: list[tuple[float, float]]) -> Any:
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return result


def _differences(found: Detections, expected: Any, image: Any) -> tuple[float, float]:
    if not len(found):
        return 0.0, 0.0
    boxes, _, points = (np.asarray(values, np.float32) for values in expected)
    limit = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
    assert found.points is not None
    return (
        float(np.abs(found.boxes - np.clip(boxes, 0, limit)).max()),
        float(np.abs(found.points - points).max()),
    )


if __name__ == "__main__":
    main()
