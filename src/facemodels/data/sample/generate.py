"""Draws the splits of generated faces in parallel.

Each image has a random generator of its own, seeded by (seed, kind of image, split, index),
so the result is the same for any number of workers. Splits share no person, because each
split has a range of identity numbers of its own.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

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
_CHUNK = 4  # images that a worker takes at a time
_LEAST_A_WORKER = 32  # images; to start a worker takes as long as to draw about so many


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
    workers: int,
    progress: Progress | None = None,
) -> DetectionSplit:
    """Draw scenes of one to four people.

    Args:
        split: one of SPLITS.
        seed: seed of the whole dataset, the same for all splits.
        scenes: number of images.
        image_size: side of an image in pixels.
        workers: most processes; this one draws alone where others would not be worth their start.
        progress: is called with the number of newly finished images.
    """
    _require_positive(scenes=scenes, image_size=image_size, workers=workers)
    jobs = [
        _Job(_Kind.SCENE, seed, split, index, _people(split, index, MAX_FACES), image_size)
        for index in range(scenes)
    ]
    pictures = list(_draw_all(jobs, workers, progress))
    return DetectionSplit(
        **_scenes(pictures),
    )


def photo_split(
    split: str,
    *,
    seed: int,
    people: int,
    photos: int,
    image_size: int,
    workers: int,
    progress: Progress | None = None,
) -> PhotoSplit:
    """Draw scenes in which the same people meet again and again.

    Args:
        split: one of SPLITS.
        seed: seed of the whole dataset, the same for all splits.
        people: number of people, the first of the split's identity numbers.
        photos: number of images; each shows one to four of the people.
        image_size: side of an image in pixels.
        workers: most processes; this one draws alone where others would not be worth their start.
        progress: is called with the number of newly finished images.
    """
    _require_positive(people=people, photos=photos, image_size=image_size, workers=workers)
    jobs = [
        _Job(_Kind.PHOTO, seed, split, index, _company(split, index, people), image_size)
        for index in range(photos)
    ]
    pictures = list(_draw_all(jobs, workers, progress))
    return PhotoSplit(
        **_scenes(pictures),
        person=np.concatenate([picture.people for picture in pictures]),
    )


def recognition_split(
    split: str,
    *,
    seed: int,
    identities: int,
    images_per_identity: int,
    image_size: int,
    folds: int,
    pairs_per_fold: int,
    workers: int,
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
        workers: most processes; this one draws alone where others would not be worth their start.
        crops: names of the crops; the first is that of the result's `images`.
        progress: is called with the number of newly finished images.
    """
    _require_positive(
        identities=identities,
        images_per_identity=images_per_identity,
        image_size=image_size,
        folds=folds,
        pairs_per_fold=pairs_per_fold,
        workers=workers,
    )
    numbers = np.repeat(
        np.array([identity_number(split, person) for person in range(identities)], np.int32),
        images_per_identity,
    )
    jobs = [
        _Job(_Kind.CLOSE_UP, seed, split, index, (int(number),), image_size)
        for index, number in enumerate(numbers)
    ]
    pairs: Pairs = verification_pairs(numbers, folds=folds, per_fold=pairs_per_fold, seed=seed)
    chosen = [crop_named(name) for name in crops]
    images = [np.empty((len(jobs), one.size, one.size, 3), np.uint8) for one in chosen]
    for index, picture in enumerate(_draw_all(jobs, workers, progress)):
        points = five_points(picture.points[0])
        for one, cut in zip(chosen, images, strict=True):
            cut[index] = one.cut(picture.image, points, picture.boxes[0])
    return RecognitionSplit(
        images=images[0],
        identities=numbers,
        groups=np.array([group_of(int(number)) for number in numbers], np.int8),
        pairs=pairs.index,
        same=pairs.same,
        folds=pairs.fold,
        found=np.ones(len(jobs), np.bool_),
        crop=chosen[0].name,
        others={one.name: cut for one, cut in zip(chosen[1:], images[1:], strict=True)},
    )


def landmark_split(
    split: str,
    *,
    seed: int,
    faces: int,
    image_size: int,
    workers: int,
    progress: Progress | None = None,
) -> LandmarkSplit:
    """Draw portraits with 68 points, each of another person.

    Args:
        split: one of SPLITS.
        seed: seed of the whole dataset, the same for all splits.
        faces: number of images.
        image_size: side of an image in pixels.
        workers: most processes; this one draws alone where others would not be worth their start.
        progress: is called with the number of newly finished images.
    """
    _require_positive(faces=faces, image_size=image_size, workers=workers)
    jobs = [
        _Job(_Kind.PORTRAIT, seed, split, index, _people(split, index, 1), image_size)
        for index in range(faces)
    ]
    images = np.empty((faces, image_size, image_size, 3), np.uint8)
    pictures: list[Picture] = []
    for index, picture in enumerate(_draw_all(jobs, workers, progress)):
        images[index] = picture.image
        pictures.append(picture)
    return LandmarkSplit(
        images=images,
        boxes=np.concatenate([picture.boxes for picture in pictures]),
        points=np.concatenate([picture.points for picture in pictures]),
        groups=np.concatenate([picture.groups for picture in pictures]),
    )


def _scenes(pictures: Sequence[Picture]) -> dict[str, NDArray[Any]]:
    """The arrays of a DetectionSplit."""
    counts = [len(picture.boxes) for picture in pictures]
    return {
        "images": np.stack([picture.image for picture in pictures]),
        "boxes": np.concatenate([picture.boxes for picture in pictures]),
        "box_image": np.repeat(np.arange(len(pictures), dtype=np.int32), counts),
        "box_group": np.concatenate([picture.groups for picture in pictures]),
    }


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


def _require_positive(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"{name} is {value}.", "Give a whole number of at least 1.")


def _draw(job: _Job) -> Picture:
    rng = np.random.default_rng([job.seed, job.kind, SPLITS.index(job.split), job.index])
    match job.kind:
        case _Kind.SCENE | _Kind.PHOTO:
            return scene(rng, job.seed, job.numbers, job.image_size)
        case _Kind.CLOSE_UP:
            return close_up(rng, job.seed, job.numbers[0], job.image_size)
        case _Kind.PORTRAIT:
            return portrait(rng, job.seed, job.numbers[0], job.image_size)


def _draw_all(jobs: Sequence[_Job], workers: int, progress: Progress | None) -> Iterator[Picture]:
    """Draw the images in the order of the jobs."""
    workers = min(workers, len(jobs) // _LEAST_A_WORKER)
    drawn = _draw_here(jobs) if workers <= 1 else _draw_in_pool(jobs, workers)
    for picture in drawn:
        yield picture
        if progress is not None:
            progress(1)


def _draw_here(jobs: Sequence[_Job]) -> Iterator[Picture]:
    for job in jobs:
        with _single_threaded_cv2():
            picture = _draw(job)
        yield picture


def _draw_in_pool(jobs: Sequence[_Job], workers: int) -> Iterator[Picture]:
    # Workers are spawned, because a fork breaks the threads of torch or OpenMP.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        max_workers=workers,
        mp_context=context,
        initializer=cv2.setNumThreads,
        initargs=(1,),
    ) as pool:
        yield from pool.map(_draw, jobs, chunksize=_CHUNK)


@contextmanager
def _single_threaded_cv2() -> Iterator[None]:
    """Let OpenCV use one thread, as in the workers; small images gain nothing from more."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
