"""Decodes images in parallel and fits them into squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.executors import Workers, executor_of
from facemodels.data.image_places import ImageRows
from facemodels.data.problems import Problem
from facemodels.data.real.files import read_picture
from facemodels.data.splits import Images
from facemodels.imaging import ImageError, crop, letterbox

Progress = Callable[[int], None] | None


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
        images: uint8 (N, S, S, 3), RGB, as they were put.
        kept: the index of the job of each image.
        transforms: how each image was fitted into its square.
        problems: the images that could not be used, sorted.
    """

    images: Images
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
    jobs: Sequence[Job], rows: ImageRows, *, root: Path, workers: Workers, progress: Progress
) -> Loaded:
    """Run jobs in parallel and put their images into `rows` in the order of the jobs.

    Raises:
        DataError: a worker died.
    """
    kept: list[int] = []
    transforms: list[ImageTransform] = []
    problems: list[Problem] = []
    with closing(executor_of(workers).in_order(_run, jobs, len(jobs))) as results:
        for index, result in enumerate(results):
            if isinstance(result, str):
                problems.append(Problem.at(jobs[index].path, root, result))
            else:
                rows.append(result[0])
                kept.append(index)
                transforms.append(result[1])
            if progress is not None:
                progress(1)
    return Loaded(rows.close(), kept, transforms, sorted(problems))
