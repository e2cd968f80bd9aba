"""Decodes images in parallel and fits them into one array.

With more than one worker, the caller's script needs the `if __name__ == "__main__":` guard
of `multiprocessing`: its workers are started afresh and not forked, because forking a process
that runs the threads of torch or OpenCV can deadlock.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facemodels.data.problems import Problem
from facemodels.data.real.files import read_picture
from facemodels.errors import DataError
from facemodels.imaging import ImageError, crop, letterbox

Progress = Callable[[int], None] | None
WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")
_CHUNK = 16  # images that a worker takes at a time


@dataclass(frozen=True)
class ImageTransform:
    """How an image was fitted into its square: new edges = old edges * scale + (dx, dy)."""

    scale: float
    dx: float
    dy: float

    def edges(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Corners (K, 2) of the old image in the new one, float32, edges frame."""
        moved: NDArray[np.float64] = points * self.scale + np.array([self.dx, self.dy])
        return moved.astype(np.float32)


@dataclass(frozen=True)
class Job:
    """One image to decode; it is letterboxed unless a box is given.

    Attributes:
        path: the image's file.
        size: side of the square that it is fitted into; pixels.
        box: x0 y0 x1 y1 to cut out, in pixels, edges frame.
    """

    path: Path
    size: int
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Loaded:
    """The images that could be used.

    Attributes:
        images: uint8 (N, S, S, 3), RGB.
        kept: the index of the job of each image.
        transforms: how each image was fitted into its square.
        problems: the images that could not be used, sorted.
    """

    images: NDArray[np.uint8]
    kept: list[int]
    transforms: list[ImageTransform]
    problems: list[Problem]


def _run(job: Job) -> tuple[NDArray[np.uint8], ImageTransform] | str:
    """Decode and fit one image, or return why it cannot be used. Runs in a worker."""
    try:
        image = read_picture(job.path)
        if job.box is None:
            square, scale, pad_x, pad_y = letterbox(image, job.size)
            return square, ImageTransform(scale, pad_x, pad_y)
        x0, y0, x1, _ = job.box
        scale = job.size / (x1 - x0)
        return crop(image, job.box, job.size), ImageTransform(scale, -x0 * scale, -y0 * scale)
    except ImageError as error:
        return error.reason


def load(
    jobs: Sequence[Job], *, root: Path, image_size: int, workers: int, progress: Progress
) -> Loaded:
    """Run jobs in parallel and gather their images in the order of the jobs.

    Raises:
        DataError: a worker died.
    """
    images = np.empty((len(jobs), image_size, image_size, 3), np.uint8)
    kept: list[int] = []
    transforms: list[ImageTransform] = []
    problems: list[Problem] = []
    with closing(in_order(_run, jobs, workers)) as results:
        for index, result in enumerate(results):
            if isinstance(result, str):
                problems.append(Problem.at(jobs[index].path, root, result))
            else:
                images[len(kept)] = result[0]
                kept.append(index)
                transforms.append(result[1])
            if progress is not None:
                progress(1)
    return Loaded(images[: len(kept)], kept, transforms, sorted(problems))


def in_order(
    work: Callable[[WorkT], ResultT], jobs: Sequence[WorkT], workers: int
) -> Generator[ResultT, None, None]:
    """Do `work` on each job in processes, and give the results in the order of the jobs.

    Raises:
        DataError: a worker died.
    """
    if workers <= 1 or len(jobs) <= _CHUNK:
        yield from map(work, jobs)
        return
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        yield from pool.map(work, jobs, chunksize=_CHUNK)
    except BrokenProcessPool as error:
        raise DataError("A worker that decodes pictures died.", "Use fewer workers.") from error
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupted build must not decode the rest
