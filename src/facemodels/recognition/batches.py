"""Training batches of P identities by K crops, augmented, and validation on pairs."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from facemodels import imaging
from facemodels.data.splits import Images, RecognitionSplit
from facemodels.errors import DataError
from facemodels.params import Frozen
from facemodels.recognition import metrics
from facemodels.recognition.task import Embedder, Preprocessing

Share = Annotated[float, Field(ge=0, le=1)]
_EMBEDDED_AT_ONCE = 1024  # images; a multiple of what the network takes at once


class CropAugmentation(Frozen):
    """How a training crop may change; every draw is uniform in ±value around no change."""

    flip: Share  # probability of mirroring
    shift: Share  # of the side
    zoom: Share  # of the scale
    brightness: Share  # of the mean
    contrast: Share  # of the range
    tint: Share  # of each channel's gain


class IdentityBatches:
    """Batches for metric learning: P people by K crops of each.

    An epoch deals all people, in a new order, into batches of P.
    """

    def __init__(
        self,
        split: RecognitionSplit,
        *,
        people: int,
        images: int,
        preprocessing: Preprocessing,
        seed: int,
        augmentation: CropAugmentation,
    ) -> None:
        """Take the training crops.

        Args:
            split: the training crops.
            people: P, identities a batch.
            images: K, crops of each; drawn with repetition where a person has fewer.
            preprocessing: how a crop becomes an input of the network.
            seed: makes every batch a function of the step.
            augmentation: see the class.

        Raises:
            DataError: there are fewer than P people.
        """
        self.split, self.preprocessing, self.seed = split, preprocessing, seed
        self.people, self.images, self.augmentation = people, images, augmentation
        order = np.argsort(split.identities, kind="stable")
        starts = np.unique(split.identities[order], return_index=True)[1]
        self.rows = np.split(order, starts[1:])
        if len(self.rows) < people:
            raise DataError(
                f"a batch wants {people} identities, the training split has {len(self.rows)}.",
                "Lower train.batch_people or give more identities.",
            )

    def __call__(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Inputs float32 (P*K, 3, S, S) and identities int64 (P*K,) of a step.

        Inputs are scaled as `preprocessing` says; the K crops of a person stand together. The
        batch depends on the seed and the step alone.
        """
        epoch, batch = divmod(step, len(self.rows) // self.people)
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.rows))
        rng = np.random.default_rng([self.seed, 1, step])
        chosen = order[batch * self.people : (batch + 1) * self.people]
        rows = np.concatenate([self._draw(rng, self.rows[person]) for person in chosen])
        crops = [self._augmented(rng, image) for image in self.split.images[rows]]
        labels = self.split.identities[rows].astype(np.int64)
        return self.preprocessing(crops), labels

    def _draw(self, rng: np.random.Generator, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        return rng.choice(rows, self.images, replace=len(rows) < self.images)

    def _augmented(self, rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return augmented(rng, image, self.augmentation, size=self.preprocessing.size)


def augmented(
    rng: np.random.Generator, image: NDArray[np.uint8], how: CropAugmentation, *, size: int
) -> NDArray[np.uint8]:
    """One crop, moved and relit.

    Args:
        rng: is drawn from nine times, whatever `how` says.
        image: uint8 (S, S, 3), RGB.
        how: the largest changes.
        size: side of the result in pixels.

    Returns:
        uint8 (size, size, 3), RGB.
    """
    side = image.shape[0]
    zoom = 1 + how.zoom * rng.uniform(-1, 1)
    centre = side / 2 + side * how.shift * rng.uniform(-1, 1, 2)
    half = side / 2 / zoom
    box = np.concatenate([centre - half, centre + half]).astype(np.float32)
    moved = imaging.crop(image, box, size).astype(np.float32)
    gain = (1 + how.brightness * rng.uniform(-1, 1)) * (1 + how.tint * rng.uniform(-1, 1, 3))
    contrast = 1 + how.contrast * rng.uniform(-1, 1)
    mean = moved.mean()
    lit = (mean + (moved - mean) * np.float32(contrast)) * gain.astype(np.float32)
    if rng.random() < how.flip:
        lit = lit[:, ::-1]
    relit: NDArray[np.uint8] = np.clip(lit, 0, 255).astype(np.uint8)
    return relit


def validation_metrics(embedder: Embedder, split: RecognitionSplit) -> dict[str, float]:
    """Verification on a split's pairs, each 0..1.

    Returns:
        `val_accuracy`, at the threshold that is best on these same pairs, so an upper bound;
        and `val_auc`, the area under the ROC.

    Raises:
        DataError: the pairs are not of both kinds.
    """
    embeddings = embedded(embedder, split.images)
    scores = pair_scores(embeddings, split.pairs, split.found)
    threshold = metrics.best_threshold(scores, split.same)
    return {
        "val_accuracy": metrics.rates_at(scores, split.same, threshold).accuracy,
        "val_auc": metrics.auc(scores, split.same),
    }


def embedded(embedder: Embedder, images: Images) -> NDArray[np.float32]:
    """Unit embeddings float32 (N, D) of prepared images, of which few are in memory at a time."""
    parts = [
        embedder.embed(list(images[start : start + _EMBEDDED_AT_ONCE]))
        for start in range(0, max(1, len(images)), _EMBEDDED_AT_ONCE)
    ]
    return np.concatenate(parts)


def pair_scores(
    embeddings: NDArray[np.float32],
    pairs: NDArray[np.int32],
    found: NDArray[np.bool_] | None = None,
    *,
    gallery: NDArray[np.float32] | None = None,
) -> NDArray[np.float64]:
    """Cosine similarity of each pair of faces.

    A face that was not found matches nobody: its pairs score -1. So the error rates are the
    generalised ones of ISO/IEC 19795-1, which count failures to acquire.

    Args:
        embeddings: float32 (N, D), of unit length.
        pairs: int32 (P, 2), indices into `embeddings`.
        found: bool (N,), whether each face was found; all if None.
        gallery: float32 (N, D), another model's embeddings of the same faces, from which the
            second face of each pair is taken; `embeddings` again if None.

    Returns:
        float64 (P,), -1..1 but for rounding.
    """
    second = (embeddings if gallery is None else gallery)[pairs[:, 1]]
    first = embeddings[pairs[:, 0]]
    similarity: NDArray[np.float64] = np.einsum("pd,pd->p", first, second, dtype=np.float64)
    if found is not None:
        similarity[~found[pairs].all(axis=1)] = -1.0
    return similarity
