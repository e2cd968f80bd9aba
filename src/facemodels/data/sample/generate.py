"""Draws the splits of generated faces in parallel.

Each image has a random generator of its own, seeded by (seed, kind of image, split, index),
so the result is the same for any number of workers. Splits share no person, because each
split has a range of identity numbers of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facemodels.data.executors import Workers, executor_of
from facemodels.data.image_places import IN_MEMORY, ImagePlace, ImageRows
from facemodels.data.pairs import Pairs, verification_pairs
from facemodels.data.sample.identity import GROUPS, group_of
from facemodels.data.sample.scene import MAX_FACES, Picture, close_up, portrait, scene
from facemodels.data.splits import (
    SPLITS,
    DetectionSplit,
    LandmarkSplit,
    PhotoSplit,
    RecognitionSplit,
)
from facemodels.errors import InputError
from facemodels.imaging import crop_named, five_points

__all__ = [
    "GROUPS",
    "detection_split",
    "identity_number",
    "landmark_split",
    "photo_split",
    "recognition_split",
]

Progress = Callable[[int], None]

_IDENTITIES_A_SPLIT = 1_000_000


class _Kind(IntEnum):
    """Kinds of images; the numbers are part of the seeds. Identities use the number 1."""

    SCENE = 2
    CLOSE_UP = 3
    PORTRAIT = 4
    PHOTO = 5


@dataclass(frozen=True)
class _Job:
    """One image to draw; `numbers` are the people who may be in it."""

    kind: _Kind
    seed: int
    split: str
    index: int
    numbers: tuple[int, ...]
    image_size: int


def identity_number(split: str, index: int) -> int:
    """The number of the person `index` of a split; splits have no number in common.

    Raises:
        InputError: there is no such split, or it has no number for this person.
    """
    if split not in SPLITS:
        raise InputError(f"there is no split {split!r}.", f"Choose one of {', '.join(SPLITS)}.")
    if not 0 <= index < _IDENTITIES_A_SPLIT:
        raise InputError(
            f"person {index} of split {split!r} is out of range.",
            f"Ask for at most {_IDENTITIES_A_SPLIT} people a split.",
        )
    return SPLITS.index(split) * _IDENTITIES_A_SPLIT + index


def detection_split(
    split: str,
    *,
    seed: int,
    scenes: int,
    image_size: int,
    workers: Workers,
    place: ImagePlace = IN_MEMORY,
    progress: Progress | None = None,
) -> DetectionSplit:
    """Draw scenes of one to four people.

    Args:
        split: one of SPLITS.
        seed: seed of the whole dataset, the same for all splits.
        scenes: number of images.
        image_size: side of an image in pixels.
        workers: who draws; a number of processes, or an executor.
        place: where the images go.
        progress: is called with the number of newly finished images.
    """
    _require_positive(scenes=scenes, image_size=image_size, **_number(workers))
    jobs = (
        _Job(_Kind.SCENE, seed, split, index, _people(split, index, MAX_FACES), image_size)
        for index in range(scenes)
    )
    rows = place.rows(split, "images", most=scenes, size=image_size)
    with closing(_draw_all(jobs, scenes, workers, progress)) as pictures:
        arrays, _ = _scenes(pictures, rows)
    return DetectionSplit(**arrays)


def photo_split(
    split: str,
    *,
    seed: int,
    people: int,
    photos: int,
    image_size: int,
    workers: Workers,
    place: ImagePlace = IN_MEMORY,
    progress: Progress | None = None,
) -> PhotoSplit:
    """Draw scenes in which the same people meet again and again.

    Args:
        split: one of SPLITS.
        seed: seed of the whole dataset, the same for all splits.
        people: number of people, the first of the split's identity numbers.
        photos: number of images; each shows one to four of the people.
        image_size: side of an image in pixels.
        workers: who draws; a number of processes, or an executor.
        place: where the images go.
        progress: is called with the number of newly finished images.
    """
    _require_positive(people=people, photos=photos, image_size=image_size, **_number(workers))
    jobs = (
        _Job(_Kind.PHOTO, seed, split, index, _company(split, index, people), image_size)
        for index in range(photos)
    )
    rows = place.rows(split, "images", most=photos, size=image_size)
    with closing(_draw_all(jobs, photos, workers, progress)) as pictures:
        arrays, person = _scenes(pictures, rows)
    return PhotoSplit(**arrays, person=person)


def recognition_split(
    split: str,
    *,
    seed: int,
    identities: int,
    images_per_identity: int,
    image_size: int,
    folds: int,
    pairs_per_fold: int,
    workers: Workers,
    place: ImagePlace = IN_MEMORY,
    crops: Sequence[str] = ("arcface112",),
    progress: Progress | None = None,
) -> RecognitionSplit:
    """Draw faces, sorted by person, cut them by their exact points, and choose pairs.

    Args:
        split: one of SPLITS.
        seed: seed of the whole dataset, the same for all splits.
        identities: number of people; they are of the skin-tone groups in turn.
        images_per_identity: number of images of each person.
        image_size: side in pixels of the image that a face is cut from.
        folds: number of folds of the pairs.
        pairs_per_fold: number of pairs of one person in a fold, and as many of two people.
        workers: who draws; a number of processes, or an executor.
        place: where the images go.
        crops: names of the crops; the first is that of the result's `images`.
        progress: is called with the number of newly finished images.
    """
    _require_positive(
        identities=identities,
        images_per_identity=images_per_identity,
        image_size=image_size,
        folds=folds,
        pairs_per_fold=pairs_per_fold,
        **_number(workers),
    )
    numbers = np.repeat(
        np.array([identity_number(split, person) for person in range(identities)], np.int32),
        images_per_identity,
    )
    jobs = (
        _Job(_Kind.CLOSE_UP, seed, split, index, (int(number),), image_size)
        for index, number in enumerate(numbers)
    )
    pairs: Pairs = verification_pairs(numbers, folds=folds, per_fold=pairs_per_fold, seed=seed)
    chosen = [crop_named(name) for name in crops]
    rows = [place.rows(split, one.name, most=len(numbers), size=one.size) for one in chosen]
    with closing(_draw_all(jobs, len(numbers), workers, progress)) as pictures:
        for picture in pictures:
            points = five_points(picture.points[0])
            for one, cut in zip(chosen, rows, strict=True):
                cut.append(one.cut(picture.image, points, picture.boxes[0]))
    first, *rest = [cut.close() for cut in rows]
    return RecognitionSplit(
        images=first,
        identities=numbers,
        groups=np.array([group_of(int(number)) for number in numbers], np.int8),
        pairs=pairs.index,
        same=pairs.same,
        folds=pairs.fold,
        found=np.ones(len(numbers), np.bool_),
        crop=chosen[0].name,
        others={one.name: images for one, images in zip(chosen[1:], rest, strict=True)},
    )


def landmark_split(
    split: str,
    *,
    seed: int,
    faces: int,
    image_size: int,
    workers: Workers,
    place: ImagePlace = IN_MEMORY,
    progress: Progress | None = None,
) -> LandmarkSplit:
    """Draw portraits with 68 points, each of another person.

    Args:
        split: one of SPLITS.
        seed: seed of the whole dataset, the same for all splits.
        faces: number of images.
        image_size: side of an image in pixels.
        workers: who draws; a number of processes, or an executor.
        place: where the images go.
        progress: is called with the number of newly finished images.
    """
    _require_positive(faces=faces, image_size=image_size, **_number(workers))
    jobs = (
        _Job(_Kind.PORTRAIT, seed, split, index, _people(split, index, 1), image_size)
        for index in range(faces)
    )
    rows = place.rows(split, "images", most=faces, size=image_size)
    drawn: list[tuple[NDArray[Any], ...]] = []
    with closing(_draw_all(jobs, faces, workers, progress)) as pictures:
        for picture in pictures:
            rows.append(picture.image)
            drawn.append((picture.boxes, picture.points, picture.groups))
    boxes, points, groups = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return LandmarkSplit(images=rows.close(), boxes=boxes, points=points, groups=groups)


def _scenes(
    pictures: Iterable[Picture], rows: ImageRows
) -> tuple[dict[str, Any], NDArray[np.int32]]:
    """The arrays of a DetectionSplit, and the person of each box."""
    drawn: list[tuple[NDArray[Any], ...]] = []
    for picture in pictures:
        rows.append(picture.image)
        drawn.append((picture.boxes, picture.groups, picture.people))
    boxes, groups, people = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    counts = [len(found) for found, _, _ in drawn]
    arrays = {
        "images": rows.close(),
        "boxes": boxes,
        "box_image": np.repeat(np.arange(len(drawn), dtype=np.int32), counts),
        "box_group": groups,
    }
    return arrays, people


def _people(split: str, index: int, count: int) -> tuple[int, ...]:
    """Numbers of the people of image `index`; no other image of its kind shows them."""
    return tuple(identity_number(split, index * count + person) for person in range(count))


def _company(split: str, index: int, people: int) -> tuple[int, ...]:
    """Numbers of the people of photo `index`: the next ones of a shuffled round of everybody.

    Everybody is in as many photos as everybody else, one more or less.
    """
    size = min(MAX_FACES, people)
    first = index * size
    chosen: list[int] = []
    for place in range(first, first + size):
        turn, person = divmod(place, people)
        order = np.random.default_rng([turn, people]).permutation(people)
        number = identity_number(split, int(order[person]))
        if number not in chosen:  # where a round ends and the next begins
            chosen.append(number)
    return tuple(chosen)


def _number(workers: Workers) -> dict[str, int]:
    return {"workers": workers} if isinstance(workers, int) else {}


def _require_positive(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"{name} is {value}.", "Give a whole number of at least 1.")


def _draw(job: _Job) -> Picture:
    with _single_threaded_cv2():
        return _drawn(job)


def _drawn(job: _Job) -> Picture:
    rng = np.random.default_rng([job.seed, job.kind, SPLITS.index(job.split), job.index])
    match job.kind:
        case _Kind.SCENE | _Kind.PHOTO:
            return scene(rng, job.seed, job.numbers, job.image_size)
        case _Kind.CLOSE_UP:
            return close_up(rng, job.seed, job.numbers[0], job.image_size)
        case _Kind.PORTRAIT:
            return portrait(rng, job.seed, job.numbers[0], job.image_size)


def _draw_all(
    jobs: Iterable[_Job], count: int, workers: Workers, progress: Progress | None
) -> Generator[Picture, None, None]:
    """Draw the images in the order of the jobs."""
    with closing(executor_of(workers).in_order(_draw, jobs, count)) as drawn:
        for picture in drawn:
            yield picture
            if progress is not None:
                progress(1)


@contextmanager
def _single_threaded_cv2() -> Iterator[None]:
    """Let OpenCV use one thread: small images gain nothing from more."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
