"""Distillation: a network learns to give the embeddings that another model gives.

The teacher sees every view that the network sees, so its answer fits the view (Beyer et al.,
"Knowledge distillation: A good teacher is patient and consistent", CVPR 2022). With `mixup`
views are blends of two faces (Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR
2018): people that no photo shows, for whom the teacher has an answer all the same. Who is on
the photos is not used, so people with one photo teach too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import RecognitionSplit
from facemodels.errors import DataError, InputError
from facemodels.recognition.batches import CropAugmentation, augmented
from facemodels.recognition.task import Embedder, Preprocessing

_CENTRE_CROPS = 1000  # of the split, evenly taken: enough for a mean


class DistillationBatches:
    """Batches of views of the training crops, with the teacher's embeddings of them.

    An epoch shows every crop that was found once, in a new order.
    """

    def __init__(
        self,
        split: RecognitionSplit,
        teacher: Embedder,
        *,
        size: int,
        preprocessing: Preprocessing,
        seed: int,
        augmentation: CropAugmentation,
        mixup: float,
        centred: bool,
    ) -> None:
        """Take the training crops and the teacher.

        Args:
            split: the training crops.
            teacher: the model that is imitated.
            size: N, views a batch.
            preprocessing: how a crop becomes an input of the network that learns.
            seed: makes every batch a function of the step.
            augmentation: how a crop may change.
            mixup: share of the views that are blended with another of the batch, 0 to 1.
            centred: take the mean of the teacher's embeddings away and bring the rest to
                length 1. The mean is that of `_CENTRE_CROPS` crops at most, as they are.

        Raises:
            InputError: teacher and network take different crops.
            DataError: there are fewer crops than a batch wants.
        """
        if teacher.crop_name != split.crop:
            raise InputError(
                f"the teacher takes the crop {teacher.crop_name!r} and the network {split.crop!r}.",
                f"Set network.crop={teacher.crop_name}: both see the same pixels.",
            )
        self.split, self.teacher, self.size = split, teacher, size
        self.preprocessing, self.seed, self.augmentation = preprocessing, seed, augmentation
        self.mixup = mixup
        self.rows = np.flatnonzero(split.found)
        if len(self.rows) < size:
            raise DataError(
                f"a batch wants {size} crops, the training split has {len(self.rows)}.",
                "Lower train.batch_people or train.batch_images, or give more images.",
            )
        self.centre = self._mean() if centred else None

    def __call__(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Inputs float32 (N, 3, S, S) and the teacher's unit vectors float32 (N, D)."""
        epoch, batch = divmod(step, len(self.rows) // self.size)
        order = np.random.default_rng([self.seed, 2, epoch]).permutation(self.rows)
        rng = np.random.default_rng([self.seed, 3, step])
        rows = order[batch * self.size : (batch + 1) * self.size]
        views = [self._view(rng, image) for image in self.split.images[rows]]
        views = self._mixed(rng, views)
        return self.preprocessing(views), self.targets(views)

    def targets(self, views: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The unit vectors (N, D) that the network learns to give for views uint8 (S, S, 3)."""
        embeddings = self.teacher.embed(views)
        if self.centre is None:
            return embeddings
        moved = embeddings - self.centre
        unit: NDArray[np.float32] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        return unit

    def _view(self, rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One crop, moved and relit, at its own size, since the teacher may want all of it."""
        return augmented(rng, image, self.augmentation, size=image.shape[0])

    def _mixed(
        self, rng: np.random.Generator, views: list[NDArray[np.uint8]]
    ) -> list[NDArray[np.uint8]]:
        """The views, of which a share is blended with the next one."""
        shares = np.where(rng.random(len(views)) < self.mixup, rng.random(len(views)), 1.0)
        others = views[1:] + views[:1]
        return [
            np.rint(share * view + (1 - share) * other).astype(np.uint8) if share < 1 else view
            for share, view, other in zip(shares, views, others, strict=True)
        ]

    def _mean(self) -> NDArray[np.float32]:
        """The mean of the teacher's embeddings (D,) over crops as they are."""
        rows = self.rows[:: -(-len(self.rows) // _CENTRE_CROPS)]
        embeddings = self.teacher.embed([self.split.images[row] for row in rows])
        mean: NDArray[np.float32] = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean
