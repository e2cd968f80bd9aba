"""Prepare: datasets to arrays, with a report of what was broken and a sheet to look at."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facemodels.data import sheet
from facemodels.data.problems import Problem, check_share
from facemodels.data.readers import boxes, identities, points
from facemodels.data.real.detection import detection_splits
from facemodels.data.real.landmarks import landmark_splits
from facemodels.data.real.recognition import folder_recognition_splits, recognition_splits
from facemodels.data.sample import generate
from facemodels.data.splits import (
    NO_GROUP,
    SPLITS,
    DetectionSplit,
    LandmarkSplit,
    RecognitionSplit,
    save_group_names,
)
from facemodels.files import sha256_tree, write_bytes, write_json
from facemodels.params import (
    Data,
    FolderRecognition,
    PairsRecognition,
    RealDetection,
    RealLandmarks,
    SampleDetection,
    SampleLandmarks,
    SampleRecognition,
)
from facemodels.progress import Advance, progress

Split = DetectionSplit | RecognitionSplit | LandmarkSplit
TaskData = (
    SampleDetection
    | RealDetection
    | SampleRecognition
    | PairsRecognition
    | FolderRecognition
    | SampleLandmarks
    | RealLandmarks
)


@dataclass(frozen=True)
class Prepared:
    """Splits by name, what was broken, and words for the report."""

    splits: Mapping[str, Split]
    problems: Sequence[Problem] = ()
    groups: tuple[str, ...] = ()
    notes: Mapping[str, Any] | None = None


def prepare(data: TaskData, output: Path, report: Path | None, picture: Path | None) -> None:
    """Write the splits of one task below `output`.

    Args:
        data: which dataset, and how.
        output: folder that gets `train/`, `val/`, `test/` and groups.json.
        report: JSON with counts, digest and every broken file with its reason.
        picture: PNG contact sheet of the training split.

    Raises:
        DataError: the dataset is missing, or more of it is broken than allowed.
    """
    prepared = _PREPARERS[type(data)](data)
    total = sum(len(split) for split in prepared.splits.values()) + len(prepared.problems)
    allowed = getattr(data, "allowed_broken", 0.0)
    if report is not None:
        _write_report(prepared, report)  # before the check: it tells what to mend
    check_share(list(prepared.problems), total, allowed, data.source)
    for name, split in prepared.splits.items():
        split.save(output / name)
    save_group_names(output, prepared.groups)
    if report is not None:
        _write_report(prepared, report, digest=sha256_tree(output))
    if picture is not None:
        _write_picture(prepared.splits["train"], picture)


def task_data(data: Data, task: str) -> TaskData:
    """The dataset of a task."""
    chosen: TaskData = getattr(data, task)
    return chosen


def _workers() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _drawn(
    label: str, counts: dict[str, int], draw: Callable[[str, Advance], Split], images: int = 1
) -> Prepared:
    """Generated splits; `counts` by split are of `images` images each."""
    with progress(label, sum(counts.values()) * images) as advance:
        return Prepared({name: draw(name, advance) for name in SPLITS}, groups=generate.GROUPS)


def _sample_detection(data: SampleDetection) -> Prepared:
    counts = {"train": data.train, "val": data.val, "test": data.test}
    return _drawn(
        "draw scenes",
        counts,
        lambda name, advance: generate.detection_split(
            name,
            seed=data.seed,
            scenes=counts[name],
            image_size=data.image_size,
            workers=_workers(),
            progress=advance,
        ),
    )


def _sample_recognition(data: SampleRecognition) -> Prepared:
    counts = {"train": data.train, "val": data.val, "test": data.test}
    return _drawn(
        "draw faces",
        counts,
        lambda name, advance: generate.recognition_split(
            name,
            seed=data.seed,
            identities=counts[name],
            images_per_identity=data.images_per_identity,
            image_size=data.image_size,
            folds=data.folds,
            pairs_per_fold=data.pairs_per_fold,
            workers=_workers(),
            progress=advance,
        ),
        images=data.images_per_identity,
    )


def _sample_landmarks(data: SampleLandmarks) -> Prepared:
    counts = {"train": data.train, "val": data.val, "test": data.test}
    return _drawn(
        "draw landmarks",
        counts,
        lambda name, advance: generate.landmark_split(
            name,
            seed=data.seed,
            faces=counts[name],
            image_size=data.image_size,
            workers=_workers(),
            progress=advance,
        ),
    )


def _real_detection(data: RealDetection) -> Prepared:
    root = Path(data.source)
    read = {"voc": boxes.read_voc, "yolo": boxes.read_yolo, "wider": boxes.read_wider}[data.reader]
    scenes, problems = read(root / data.images, root / data.annotations)
    with progress("read scenes", len(scenes)) as advance:
        splits, broken = detection_splits(
            scenes,
            root=root,
            image_size=data.image_size,
            val_share=data.val_share,
            test_share=data.test_share,
            seed=data.seed,
            workers=_workers(),
            progress=advance,
        )
    return Prepared(splits, [*problems, *broken])


def _pairs_recognition(data: PairsRecognition) -> Prepared:
    root = Path(data.source)
    images = root / data.images
    people = identities.read_people(root / data.train_people)
    val = identities.read_lfw_pairs(root / data.val_pairs, images)
    test = identities.read_lfw_pairs(root / data.test_pairs, images)
    with progress("read faces", None) as advance:
        splits, problems, overlap = recognition_splits(
            root=images,
            train_people=people,
            val_pairs=val,
            test_pairs=test,
            image_size=data.image_size,
            crop_fraction=data.crop_fraction,
            min_images=data.min_images,
            disjoint=data.disjoint,
            workers=_workers(),
            progress=advance,
        )
    groups: tuple[str, ...] = ()
    if overlap.train_test:
        splits["test"] = _by_acquaintance(splits["test"], splits["train"])
        groups = ("people seen in training", "people never seen")
    return Prepared(splits, problems, groups, notes={"overlap": vars(overlap)})


def _by_acquaintance(test: RecognitionSplit, train: RecognitionSplit) -> RecognitionSplit:
    """Group the test faces by whether their person was trained on: only group 1 is honest."""
    unseen = ~np.isin(test.identities, np.unique(train.identities))
    return replace(test, groups=unseen.astype(np.int8))


def _folder_recognition(data: FolderRecognition) -> Prepared:
    root = Path(data.source)
    images, problems = identities.read_identities(root)
    with progress("read faces", len(images)) as advance:
        splits, broken = folder_recognition_splits(
            images,
            root=root,
            image_size=data.image_size,
            crop_fraction=data.crop_fraction,
            val_share=data.val_share,
            test_share=data.test_share,
            folds=data.folds,
            per_fold=data.pairs_per_fold,
            seed=data.seed,
            min_images=data.min_images,
            workers=_workers(),
            progress=advance,
        )
    return Prepared(splits, [*problems, *broken])


def _real_landmarks(data: RealLandmarks) -> Prepared:
    """The test sets become one split, each a group of its own."""
    root = Path(data.source)
    read = {"pts": points.read_pts, "dlib-xml": points.read_dlib_xml}[data.reader]
    train, problems = read(root / data.train)
    test: list[points.PointSet] = []
    for name in data.test:
        faces, broken = read(root / name)
        test += faces
        problems += broken
    with progress("read landmarks", len(train) + len(test)) as advance:
        splits, broken = landmark_splits(
            train,
            test,
            root=root,
            image_size=data.image_size,
            val_share=data.val_share,
            seed=data.seed,
            margin=data.margin,
            test_sets=[root / name for name in data.test],
            workers=_workers(),
            progress=advance,
        )
    return Prepared(splits, [*problems, *broken], groups=tuple(data.test))


_PREPARERS: dict[type, Any] = {
    SampleDetection: _sample_detection,
    SampleRecognition: _sample_recognition,
    SampleLandmarks: _sample_landmarks,
    RealDetection: _real_detection,
    PairsRecognition: _pairs_recognition,
    FolderRecognition: _folder_recognition,
    RealLandmarks: _real_landmarks,
}


def _write_report(prepared: Prepared, path: Path, digest: str | None = None) -> None:
    write_json(
        path,
        {
            "digest": digest,
            "splits": {name: _counts(split) for name, split in prepared.splits.items()},
            "problems": [vars(problem) for problem in prepared.problems],
            "notes": dict(prepared.notes or {}),
        },
    )


def _counts(split: Split) -> dict[str, Any]:
    counts: dict[str, Any] = {"images": len(split)}
    if isinstance(split, DetectionSplit):
        counts["faces"] = len(split.boxes)
    elif isinstance(split, RecognitionSplit):
        counts["identities"] = len(np.unique(split.identities))
        counts["pairs"] = len(split.pairs)
    groups = split.box_group if isinstance(split, DetectionSplit) else split.groups
    numbers, faces = np.unique(groups[groups != NO_GROUP], return_counts=True)
    counts["groups"] = dict(zip(map(str, numbers), map(int, faces), strict=True))
    return counts


def _write_picture(split: Split, path: Path) -> None:
    if isinstance(split, DetectionSplit):
        image = sheet.detection_sheet(split)
    elif isinstance(split, RecognitionSplit):
        image = sheet.recognition_sheet(split)
    else:
        image = sheet.landmark_sheet(split)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    write_bytes(path, buffer.getvalue())
