"""Images with face boxes to splits, and the base of the kinds that read them."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facemodels.data.dataset_kind import (
    DatasetSplits,
    DealtSettings,
    DetectionKind,
    SplitShares,
)
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.data.problems import Problem, relative
from facemodels.data.real.annotated_images import AnnotatedImage
from facemodels.data.real.dealing import check_shares, deal, no_groups
from facemodels.data.real.loading import Job, Progress, load
from facemodels.data.splits import SPLITS, DetectionSplit
from facemodels.params import Count, Share
from facemodels.progress import progress as show_progress


class BoxSettings(DealtSettings):
    """A dataset of annotated images, which are letterboxed.

    Attributes:
        images: folder of the images below `source`.
        annotations: folder or file of the annotations below `source`.
        image_size: side of the prepared images, which are square.
        test_share: expected share of the images in the test split.
    """

    images: str = "images"
    annotations: str
    image_size: Count = 416
    test_share: Share = 0.2


class BoxKind(DetectionKind[BoxSettings]):
    """Base of the kinds whose images and annotations are two paths below `source`."""

    settings = BoxSettings

    @abstractmethod
    def read_annotations(
        self, images: Path, annotations: Path
    ) -> tuple[list[AnnotatedImage], list[Problem]]:
        """The annotated images in order, and what was left out.

        Raises:
            DataError: a path is missing, or there is no annotation.
        """

    def read(
        self, settings: BoxSettings, *, workers: Workers, place: ImagePlace = IN_MEMORY
    ) -> DatasetSplits[DetectionSplit]:
        """Read the annotations, decode the images and deal them to splits."""
        root = Path(settings.source)
        images, problems = self.read_annotations(
            root / settings.images, root / settings.annotations
        )
        with show_progress("read scenes", len(images)) as advance:
            splits, broken = detection_splits(
                images,
                root=root,
                image_size=settings.image_size,
                val_share=settings.val_share,
                test_share=settings.test_share,
                seed=settings.seed,
                workers=workers,
                place=place,
                progress=advance,
            )
        mended = Counter(change for image in images for change in image.mended)
        return DatasetSplits(
            splits,
            [*problems, *broken],
            notes={"mended": dict(sorted(mended.items()))} if mended else None,
            allowed_broken=settings.allowed_broken,
        )

    def settings_for(
        self, path: Path, annotations: str, shares: SplitShares, images: str = "images"
    ) -> BoxSettings:
        """Settings that read the annotations below `path`; all others are the defaults."""
        return self.settings(
            reader=self.reader,
            source=str(path),
            images=images,
            annotations=annotations,
            val_share=shares.val,
            test_share=shares.test,
        )


def detection_splits(
    images: Sequence[AnnotatedImage],
    *,
    root: Path,
    image_size: int,
    val_share: float,
    test_share: float,
    seed: int,
    workers: Workers = 1,
    place: ImagePlace = IN_MEMORY,
    progress: Progress = None,
) -> tuple[dict[str, DetectionSplit], list[Problem]]:
    """Letterbox images into squares and deal them to splits by a hash of their paths.

    Args:
        images: images with boxes.
        root: folder of the dataset; paths are hashed and reported relative to it.
        image_size: side of the squares in pixels.
        val_share: expected share of the images in val, 0 to 1.
        test_share: expected share of the images in test, 0 to 1.
        seed: changes which images go to which split.
        workers: who decodes.
        place: where the images go.
        progress: is called with the number of newly finished images.

    Raises:
        DataError: shares outside 0 to 1, or a worker died.
    """
    check_shares(val_share, test_share)
    dealt: dict[str, list[AnnotatedImage]] = {name: [] for name in SPLITS}
    for image in sorted(images, key=lambda image: relative(image.path, root)):
        dealt[deal(relative(image.path, root), seed, val_share, test_share)].append(image)
    splits, problems = {}, []
    for name, chosen in dealt.items():
        jobs = [Job(image.path, image_size) for image in chosen]
        rows = place.rows(name, "images", most=len(jobs), size=image_size)
        loaded = load(jobs, rows, root=root, workers=workers, progress=progress)
        problems += loaded.problems
        boxes = [
            np.clip(transform.edges(chosen[index].boxes.reshape(-1, 2)), 0, image_size)
            for index, transform in zip(loaded.kept, loaded.transforms, strict=True)
        ]
        boxes = [found.reshape(-1, 4) for found in boxes]
        faces = np.array([len(found) for found in boxes], np.int64)
        groups = [
            no_groups(len(found)) if chosen[index].groups is None else chosen[index].groups
            for index, found in zip(loaded.kept, boxes, strict=True)
        ]
        splits[name] = DetectionSplit(
            images=loaded.images,
            boxes=np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
            box_image=np.repeat(np.arange(len(boxes), dtype=np.int32), faces),
            box_group=np.concatenate([no_groups(0), *groups]),
        )
    return splits, sorted(problems)
