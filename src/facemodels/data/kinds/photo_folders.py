"""Photos of known people in identity folders: each shows its person nearest to the middle."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np

from facemodels.data.dataset_kind import DatasetSplits, DealtSettings, PhotoKind, SplitShares
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.data.problems import BadAnnotationError
from facemodels.data.real.dealing import check_shares, deal, no_groups
from facemodels.data.real.files import picture_size
from facemodels.data.real.identities import FaceImage, read_identities
from facemodels.data.real.loading import Job, load
from facemodels.data.splits import SPLITS, Images, PhotoSplit
from facemodels.errors import DataError
from facemodels.params import Count, Share
from facemodels.progress import progress

_LARGEST = 640  # pixels; all photos of a split are in memory at once


class PhotoFoldersSettings(DealtSettings):
    """Folders are people, who are dealt to splits by a hash of the folder's name.

    Attributes:
        test_share: expected share of the people in the test split.
        image_size: side of the square that a photo is fitted into, between grey bars; pixels.
        min_images: people with fewer photos are left out.
        max_images: photos of a person that are read, the first by name.
    """

    test_share: Share = 0.5
    image_size: Count = 320
    min_images: Count = 2
    max_images: Count = 10


class PhotoFoldersKind(PhotoKind[PhotoFoldersSettings]):
    """One folder of photos for each person."""

    reader = "folders"
    layout = "`<root>/<identity>/<photo>`; who else is in a photo is not known"
    settings = PhotoFoldersSettings

    def read(
        self,
        settings: PhotoFoldersSettings,
        *,
        workers: Workers,
        place: ImagePlace = IN_MEMORY,
    ) -> DatasetSplits[PhotoSplit]:
        """Read the folders and fit their photos into squares."""
        check_shares(settings.val_share, settings.test_share)
        root = Path(settings.source)
        images, problems = read_identities(root)
        chosen = _chosen(images, settings)
        numbers = {name: place for place, name in enumerate(sorted({i.identity for i in chosen}))}
        dealt: dict[str, list[FaceImage]] = {name: [] for name in SPLITS}
        for image in chosen:
            split = deal(image.identity, settings.seed, settings.val_share, settings.test_share)
            dealt[split].append(image)
        splits: dict[str, PhotoSplit] = {}
        with progress("read photos", len(chosen)) as advance:
            for name, photos in dealt.items():
                jobs = [Job(photo.path, settings.image_size) for photo in photos]
                rows = place.rows(name, "images", most=len(jobs), size=settings.image_size)
                read = load(jobs, rows, root=root, workers=workers, progress=advance)
                problems = [*problems, *read.problems]
                people = [numbers[photos[row].identity] for row in read.kept]
                splits[name] = _split(read.images, people)
        _require_people(splits, root)
        return DatasetSplits(splits, problems, allowed_broken=settings.allowed_broken)

    def recognise(self, path: Path, shares: SplitShares) -> PhotoFoldersSettings | None:
        """A folder with folders. Photos of up to 640 pixels keep their size."""
        if not path.is_dir() or not any(p.is_dir() for p in path.iterdir()):
            return None
        return PhotoFoldersSettings(
            reader=self.reader,
            source=str(path),
            val_share=shares.val,
            test_share=shares.test,
            image_size=_longest_side(read_identities(path)[0]),
        )


def _longest_side(images: list[FaceImage]) -> int:
    """Of all photos that can be read, at most 640 pixels."""
    longest = 1
    for image in images:
        with suppress(BadAnnotationError):
            longest = max(longest, *picture_size(image.path))
    return min(longest, _LARGEST)


def _chosen(images: list[FaceImage], settings: PhotoFoldersSettings) -> list[FaceImage]:
    of: dict[str, list[FaceImage]] = defaultdict(list)
    for image in images:
        of[image.identity].append(image)
    return [
        image
        for photos in of.values()
        if len(photos) >= settings.min_images
        for image in photos[: settings.max_images]
    ]


def _split(images: Images, people: list[int]) -> PhotoSplit:
    """A split in which each photo shows one known person, at a place that is not known."""
    return PhotoSplit(
        images=images,
        boxes=np.full((len(people), 4), np.nan, np.float32),
        box_image=np.arange(len(people), dtype=np.int32),
        box_group=no_groups(len(people)),
        person=np.array(people, np.int32),
    )


def _require_people(splits: dict[str, PhotoSplit], root: Path) -> None:
    for name in ("val", "test"):
        if len(np.unique(splits[name].person)) < 2:
            raise DataError(
                f"{root} gives fewer than two people with several photos for the split {name}.",
                "Give more people, two photos each at least.",
            )


KINDS = (PhotoFoldersKind(),)
