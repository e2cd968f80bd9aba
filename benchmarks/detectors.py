"""Detectors in one table under one protocol, on images of their own size.

    .venv/bin/python -m benchmarks.detectors DATA PACKAGE... [--levels FOLDER] [--json FILE]

DATA is a data set of boxes in a layout of docs/datasets.md, of which all images are taken at the
size they have; or a prepared folder, of which the test split is taken. Each package is served as
it is deployed, on one thread, and sees every image alone.

AP and AP by the size of a face are COCO's, by pycocotools. AP of a height follows the protocol of
WIDER FACE over faces of so many pixels (`facemodels.evaluate.wider`). With --levels DATA is WIDER
FACE's folder of validation images, FOLDER its authors' lists, and AP is of the levels easy, medium
and hard. Precision and recall are at IoU 0.5 and the threshold that a package was released with.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels import imaging
from facemodels.data.datasets import recognised
from facemodels.data.real.detection import BoxKind
from facemodels.data.real.wider_levels import counted, read_levels
from facemodels.data.splits import DetectionSplit, group_names
from facemodels.detection import coco, metrics
from facemodels.detection.task import Detections
from facemodels.errors import InputError
from facemodels.evaluate import wider
from facemodels.files import write_json
from facemodels.package.load import Package, open_package
from facemodels.progress import progress
from facemodels.text import markdown

Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class Scenes:
    """Images with the boxes of all their faces.

    Attributes:
        images: give uint8 (H, W, 3), RGB, when they are called.
        truths: float32 (M_i, 4) an image, x0 y0 x1 y1 in pixels of the image.
        counted: the faces of each WIDER level or height by its name, bool (M_i,) an image.
    """

    images: Sequence[Callable[[], NDArray[np.uint8]]]
    truths: Sequence[Boxes]
    counted: Mapping[str, Sequence[NDArray[np.bool_]]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, help="a data set of boxes, or a prepared folder")
    parser.add_argument("packages", type=Path, nargs="+", help="packages of detectors")
    parser.add_argument("--levels", type=Path, help="eval_tools/ground_truth of WIDER FACE")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    scenes = levelled(options.data, options.levels) if options.levels else scenes_of(options.data)
    packages = [open_package(path) for path in options.packages]
    rows = [measured(package, scenes) for package in packages]
    if options.json:
        write_json(options.json, rows)
    print(markdown(rows))
    faces = ", ".join(
        f"{name} {sum(int(flags.sum()) for flags in images)}"
        for name, images in scenes.counted.items()
    )
    print(f"{len(scenes.truths)} images, {sum(map(len, scenes.truths))} faces ({faces}).")


def scenes_of(path: Path) -> Scenes:
    """The test split of a prepared folder, or all images of a data set."""
    if (path / "groups.json").is_file():
        split = DetectionSplit.load(path / "test")
        truths = [split.boxes_of(index) for index in range(len(split))]
        return Scenes(
            [partial(split.images.__getitem__, index) for index in range(len(split))],
            truths,
            named(wider.of_split(split, group_names(path))),
        )
    found = recognised(path, "detection")
    if not isinstance(found.kind, BoxKind):
        raise InputError(f"{path} has no boxes in files.", "Prepare it, and give that folder.")
    settings: Any = found.settings
    root = Path(settings.source)
    images, _ = found.kind.read_annotations(root / settings.images, root / settings.annotations)
    truths = [image.boxes for image in images]
    return Scenes(
        [partial(imaging.decode, image.path) for image in images],
        truths,
        named(wider.by_height(truths)),
    )


def levelled(images: Path, levels: Path) -> Scenes:
    """WIDER FACE's validation set with its authors' lists."""
    listed = read_levels(levels)
    return Scenes(
        [partial(imaging.decode, images / image.name) for image in listed],
        [image.boxes for image in listed],
        named(counted(listed)),
    )


def named(
    counted: Mapping[str, Sequence[NDArray[np.bool_]]],
) -> dict[str, Sequence[NDArray[np.bool_]]]:
    """The faces of each level or height by a name for the table: `WIDER easy`, `10 to 50 px`."""
    return {_name(name): flags for name, flags in counted.items()}


def _name(name: str) -> str:
    low, _, high = name.partition("_")
    if not high:
        return f"WIDER {name}"
    return f"{low} px up" if high == "up" else f"{low} to {high} px"


def measured(package: Package, scenes: Scenes) -> dict[str, Any]:
    """The figures of one detector, a row of the table."""
    found = list(detected(package, scenes))
    boxes, scores = [faces.boxes for faces in found], [faces.scores for faces in found]
    threshold = float(package.config["threshold"])
    at = metrics.rates_at(coco.match(boxes, scores, scenes.truths), threshold)
    return {
        "detector": str(package.id),
        "recall": at.recall,
        "precision": at.precision,
        "at": round(threshold, 3),
        **coco.average_precisions(boxes, scores, scenes.truths),
        **{
            f"AP {name}": wider.average_precision(boxes, scores, scenes.truths, flags)
            for name, flags in scenes.counted.items()
        },
    }


def detected(package: Package, scenes: Scenes) -> Iterator[Detections]:
    """What a package finds on each image, one image at a time."""
    detector = package.predictor(threads=1)
    with progress(f"{package.id}", len(scenes.images)) as advance:
        for image in scenes.images:
            yield from detector.detect([image()])
            advance(1)


if __name__ == "__main__":
    main()
