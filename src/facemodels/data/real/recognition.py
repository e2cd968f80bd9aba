"""Faces with identities to splits, with pairs to verify."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from facemodels.data.dataset_kind import FaceFinder, FilesSettings
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.data.pairs import Pairs, verification_pairs
from facemodels.data.problems import Problem, relative
from facemodels.data.real.dealing import check_shares, deal, no_groups
from facemodels.data.real.faces import Cutting, cut_faces
from facemodels.data.real.files import name_of
from facemodels.data.real.identities import FaceImage, NamedPair, read_identities
from facemodels.data.real.loading import Progress
from facemodels.data.splits import SPLITS, RecognitionSplit
from facemodels.errors import DataError
from facemodels.imaging import Choice
from facemodels.params import Count

Fraction = Annotated[float, Field(gt=0, le=1)]


class FaceSettings(FilesSettings):
    """Keys of the kinds that cut a face out of each image.

    Attributes:
        crops: names of the crops, see `facemodels.imaging.crops`.
        detector: folder of the detector's package; empty takes the middle of each image.
        choose: which face is taken of several: the one nearest to the middle of the image, the
            largest, or the one with the best score.
        min_score: faces that score below this are not looked at; empty takes the package's
            threshold.
        crop_fraction: share of the shorter side that the middle has.
        min_images: people with fewer images are left out of training.
    """

    crops: Annotated[tuple[str, ...], Field(min_length=1)] = ("arcface112",)
    detector: str = ""
    choose: Choice = "centre"
    min_score: Annotated[float, Field(ge=0, le=1)] | None = None
    crop_fraction: Fraction = 1.0
    min_images: Count = 2

    def cutting(self, finder: FaceFinder | None) -> Cutting:
        """How the faces are cut out.

        Raises:
            DataError: a detector is named and no finder of it given.
        """
        if self.detector and finder is None:
            raise DataError(f"the faces of {self.source} are to be found by {self.detector}.")
        return Cutting(self.crops, self.crop_fraction, finder)


@dataclass(frozen=True)
class Overlap:
    """People who are in two splits of `recognition_splits`, and who was left out of train.

    Attributes:
        train_val: people in both train and val, after anything was left out.
        train_test: people in both train and test, after anything was left out.
        val_test: people in both val and test.
        dropped_people: people left out of train because val or test shows them.
        dropped_images: number of their images.
    """

    train_val: int
    train_test: int
    val_test: int
    dropped_people: int
    dropped_images: int


def recognition_splits(
    *,
    root: Path,
    train_people: Sequence[str] | None,
    val_pairs: Sequence[NamedPair],
    test_pairs: Sequence[NamedPair],
    cutting: Cutting,
    min_images: int = 1,
    disjoint: bool = True,
    workers: Workers = 1,
    place: ImagePlace = IN_MEMORY,
    progress: Progress = None,
) -> tuple[dict[str, RecognitionSplit], list[Problem], Overlap]:
    """Make splits from published lists, such as LFW's: people to train on, pairs to measure.

    Args:
        root: folder of identity folders.
        train_people: people whose images are trained on; None for all in `root`.
        val_pairs: pairs of val; an image in several pairs is decoded once.
        test_pairs: pairs of test.
        cutting: how the faces are cut out.
        min_images: people with fewer images are left out of train.
        disjoint: leave people of val or test out of train. People in both val and test are
            counted, not dropped: a published list of pairs stays whole.
        workers: who decodes.
        place: where the images go.
        progress: is called with the number of newly finished images.

    Returns:
        The splits, the problems, and how many people are in two splits. A listed person
        without images is a problem. A pair with an unusable image is left out.

    Raises:
        DataError: `root` is no such folder, or a worker died.
    """
    everyone, problems = read_identities(root)
    measured = {"val": _people(val_pairs), "test": _people(test_pairs)}
    listed = {face.identity for face in everyone} if train_people is None else set(train_people)
    shown = measured["val"] | measured["test"] if disjoint else set()
    count = Counter(face.identity for face in everyone)
    problems += [Problem(name, "listed, without pictures") for name in listed - set(count)]
    trained = {name for name in listed - shown if count[name] >= max(min_images, 1)}
    dropped = listed & shown & set(count)
    plan = {"train": [face for face in everyone if face.identity in trained]}
    for name, pairs in (("val", val_pairs), ("test", test_pairs)):
        paths = {path for pair in pairs for path in (pair.first, pair.second)}
        plan[name] = [FaceImage(path, name_of(path.parent)) for path in paths]
    splits, unusable, paths_of = _gather(
        plan, root=root, cutting=cutting, workers=workers, place=place, progress=progress
    )
    for name, pairs in (("val", val_pairs), ("test", test_pairs)):
        splits[name] = _with_pairs(splits[name], _named(pairs, paths_of[name]))
    overlap = Overlap(
        train_val=len(trained & measured["val"]),
        train_test=len(trained & measured["test"]),
        val_test=len(measured["val"] & measured["test"]),
        dropped_people=len(dropped),
        dropped_images=sum(count[name] for name in dropped),
    )
    return splits, sorted(set(problems + unusable)), overlap


def folder_recognition_splits(
    images: Sequence[FaceImage],
    *,
    root: Path,
    cutting: Cutting,
    val_share: float,
    test_share: float,
    folds: int,
    per_fold: int,
    seed: int,
    min_images: int = 1,
    workers: Workers = 1,
    place: ImagePlace = IN_MEMORY,
    progress: Progress = None,
) -> tuple[dict[str, RecognitionSplit], list[Problem]]:
    """Make splits of identity folders without lists: people are dealt by their names' hashes.

    Args:
        images: images with identities, such as `read_identities` returns.
        root: folder of the dataset; paths are reported relative to it.
        cutting: how the faces are cut out.
        val_share: expected share of the people in val, 0 to 1; 0 makes no pairs there.
        test_share: expected share of the people in test.
        folds: number of folds of the pairs of val, and of test.
        per_fold: most pairs of one person, and as many of two people, in a fold.
        seed: changes who goes to which split, and the pairs.
        min_images: people with fewer images are left out of train.
        workers: who decodes.
        place: where the images go.
        progress: is called with the number of newly finished images.

    Raises:
        DataError: too few people for the folds, values out of range, or a worker died.
    """
    check_shares(val_share, test_share)
    count = Counter(face.identity for face in images)
    home = {name: deal(name, seed, val_share, test_share) for name in count}
    plan = {
        split: [
            face
            for face in images
            if home[face.identity] == split
            and (split != "train" or count[face.identity] >= min_images)
        ]
        for split in SPLITS
    }
    splits, problems, _ = _gather(
        plan, root=root, cutting=cutting, workers=workers, place=place, progress=progress
    )
    for name, share in (("val", val_share), ("test", test_share)):
        if share > 0:
            pairs = verification_pairs(
                splits[name].identities, folds=folds, per_fold=per_fold, seed=seed
            )
            splits[name] = _with_pairs(splits[name], pairs)
    return splits, problems


def _gather(
    plan: dict[str, list[FaceImage]],
    *,
    root: Path,
    cutting: Cutting,
    workers: Workers,
    place: ImagePlace,
    progress: Progress,
) -> tuple[dict[str, RecognitionSplit], list[Problem], dict[str, dict[Path, int]]]:
    """Decode the planned faces. What shows no face is left out of training, and only there.

    Returns:
        The splits, without pairs; the problems; the row of each path in its split.
    """
    names = sorted({face.identity for faces in plan.values() for face in faces})
    number = {name: index for index, name in enumerate(names)}
    splits: dict[str, RecognitionSplit] = {}
    problems: list[Problem] = []
    rows: dict[str, dict[Path, int]] = {}
    for split in SPLITS:
        faces = sorted(plan[split], key=lambda face: relative(face.path, root))
        paths = [face.path for face in faces]
        cut = cut_faces(
            paths,
            cutting,
            {
                name: place.rows(split, name, most=len(paths), size=size)
                for name, size in cutting.sizes.items()
            },
            with_missing=split != "train",
            root=root,
            workers=workers,
            progress=progress,
        )
        problems += cut.problems
        kept = [faces[index] for index in cut.kept]
        rows[split] = {face.path: row for row, face in enumerate(kept)}
        first, *rest = cutting.crops
        splits[split] = RecognitionSplit(
            images=cut.crops[first],
            identities=np.array([number[face.identity] for face in kept], np.int32),
            groups=no_groups(len(kept)),
            pairs=np.zeros((0, 2), np.int32),
            same=np.zeros(0, np.bool_),
            folds=np.zeros(0, np.int8),
            found=cut.found,
            crop=first,
            others={name: cut.crops[name] for name in rest},
        )
    return splits, sorted(problems), rows


def _named(pairs: Sequence[NamedPair], rows: dict[Path, int]) -> Pairs:
    """Pairs of paths as pairs of rows, without the pairs that have an unusable image."""
    usable = [pair for pair in pairs if pair.first in rows and pair.second in rows]
    return Pairs(
        np.array([(rows[p.first], rows[p.second]) for p in usable], np.int32).reshape(-1, 2),
        np.array([p.same for p in usable], np.bool_),
        np.array([p.fold for p in usable], np.int8),
    )


def _with_pairs(split: RecognitionSplit, pairs: Pairs) -> RecognitionSplit:
    return replace(split, pairs=pairs.index, same=pairs.same, folds=pairs.fold)


def _people(pairs: Iterable[NamedPair]) -> set[str]:
    return {name_of(path.parent) for pair in pairs for path in (pair.first, pair.second)}
