"""What kind of dataset a folder holds, told by its layout; for one-off commands.

The stages never guess: their datasets are described in conf/data/.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facemodels.errors import DataError
from facemodels.params import (
    FolderRecognition,
    PairsRecognition,
    RealDetection,
    RealLandmarks,
)
from facemodels.pipeline.prepare import TaskData, prepare

_SIZES = {"detection": 416, "recognition": 128, "landmarks": 224}  # pixels
_ALLOWED_BROKEN = 0.05
_VAL_SHARE = 0.2  # of a dataset that is to train on
_TEST_SHARE = 0.2
_FOLDS = 10  # of LFW's protocol; fewer where people are few
_PEOPLE_A_FOLD = 4
_CHOICE_SHARE = 0.25  # of a dataset that is to test on: for the choice of the threshold
_REST = 1 - _CHOICE_SHARE


@contextmanager
def dataset(path: Path, task: str, *, testing: bool = False) -> Iterator[Path]:
    """Give the prepared form of `path`: itself, or arrays in a temporary folder.

    Args:
        path: a prepared folder; identity folders (also with LFW's lists); `images/` with
            `annotations/` (VOC) or `labels/` (YOLO), or a WIDER FACE list; .pts files, in
            one folder or in `trainset/` and `testset/`; a dlib XML list.
        task: what the data is for.
        testing: keep little for choosing the threshold and test on the rest.

    Raises:
        DataError: the layout is none of these.
    """
    if (path / "groups.json").is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        prepare(_guess(path, task, testing=testing), Path(scratch), report=None, picture=None)
        yield Path(scratch)


def _guess(path: Path, task: str, *, testing: bool) -> TaskData:
    shares = (_CHOICE_SHARE, _REST) if testing else (_VAL_SHARE, _TEST_SHARE)
    guess = {
        "detection": _detection,
        "recognition": _recognition,
        "landmarks": _landmarks,
    }[task](path, *shares)
    if guess is None:
        raise DataError(
            f"{path} has no layout known for {task}.",
            "See docs/datasets.md for the layouts that are read.",
        )
    return guess


def _detection(path: Path, val_share: float, test_share: float) -> TaskData | None:
    lists = sorted(path.glob("*bbx_gt.txt"))
    if (path / "annotations").is_dir():
        reader, annotations = "voc", "annotations"
    elif (path / "labels").is_dir():
        reader, annotations = "yolo", "labels"
    elif lists:
        reader, annotations = "wider", lists[0].name
    else:
        return None
    return RealDetection(
        reader=reader,
        source=str(path),
        images="images",
        annotations=annotations,
        image_size=_SIZES["detection"],
        seed=1,
        val_share=val_share,
        test_share=test_share,
        allowed_broken=_ALLOWED_BROKEN,
    )


def _recognition(path: Path, val_share: float, test_share: float) -> TaskData | None:
    if (path / "pairs.txt").is_file():
        folders = [p.name for p in sorted(path.iterdir()) if p.is_dir()]
        return PairsRecognition(
            reader="lfw",
            source=str(path),
            images=folders[0] if folders else ".",
            train_people="peopleDevTrain.txt",
            val_pairs="pairsDevTest.txt",
            test_pairs="pairs.txt",
            image_size=_SIZES["recognition"],
            crop_fraction=0.5,
            min_images=2,
            disjoint=True,
            allowed_broken=_ALLOWED_BROKEN,
        )
    people = sum(1 for p in path.iterdir() if p.is_dir())
    if not people:
        return None
    # Training needs no folds; testing needs some, and people of each kind in every one.
    smallest = people * min(val_share, test_share)
    folds = max(2, min(_FOLDS, int(smallest / _PEOPLE_A_FOLD))) if test_share > _CHOICE_SHARE else 1
    return FolderRecognition(
        reader="folders",
        source=str(path),
        image_size=_SIZES["recognition"],
        crop_fraction=1.0,
        min_images=2,
        seed=1,
        val_share=val_share,
        test_share=test_share,
        folds=folds,
        pairs_per_fold=300,
        allowed_broken=_ALLOWED_BROKEN,
    )


def _landmarks(path: Path, val_share: float, test_share: float) -> TaskData | None:
    if path.suffix == ".xml":
        reader, train, test = "dlib-xml", path.name, path.name
    elif (path / "trainset").is_dir() and (path / "testset").is_dir():
        reader, train, test = "pts", "trainset", "testset"
    elif any(path.rglob("*.pts")):
        # One set: trained on all but the validation share, or tested on all of it.
        reader, train, test = "pts", ".", "."
    else:
        return None
    return RealLandmarks(
        reader=reader,
        source=str(path if path.is_dir() else path.parent),
        train=train,
        test=[test],
        image_size=_SIZES["landmarks"],
        margin=0.25,
        seed=1,
        val_share=val_share,
        allowed_broken=_ALLOWED_BROKEN,
    )
