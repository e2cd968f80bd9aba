"""What every recognition architecture gives: unit embeddings of face crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facemodels import imaging
from facemodels.runtime import Run


class RecognitionModel(Protocol):
    """A recognition model that is ready to use."""

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return unit embeddings float32 (N, D) of aligned face crops, uint8 HWC RGB."""


def preprocess(images: Sequence[NDArray[np.uint8]], size: int) -> NDArray[np.float32]:
    """Turn face crops of any size into a float32 (N, 3, size, size) batch in about -1..1.

    The scale (x - 127.5) / 128 is facenet-pytorch's `fixed_image_standardization`.
    """
    batch = np.empty((len(images), 3, size, size), np.float32)
    for row, image in enumerate(images):
        square = imaging.resize(imaging.as_rgb(image), size, size)
        batch[row] = square.transpose(2, 0, 1)
    batch -= np.float32(127.5)
    batch *= np.float32(1 / 128)
    return batch


@dataclass(frozen=True)
class Embedder:
    """A recognition model around a network that runs on NumPy batches.

    Attributes:
        run: float32 (N, 3, S, S) to unit embeddings float32 (N, D).
        image_size: S, pixels.
        embedding_size: D.
        batch: the most images of one run.
    """

    run: Run
    image_size: int
    embedding_size: int
    batch: int = 32

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return unit embeddings of aligned face crops, uint8 HWC RGB of any size: (N, D)."""
        if len(images) == 0:
            return np.empty((0, self.embedding_size), np.float32)
        parts = [
            self.run(preprocess(images[start : start + self.batch], self.image_size))
            for start in range(0, len(images), self.batch)
        ]
        return np.concatenate(parts)


def served(run: Run, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Embedder:
    """Return the embedder around a package's ONNX graph."""
    return Embedder(run, config["preprocessing"]["size"][0], metadata["output_shape"][0])


def predict(
    model: RecognitionModel, images: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.float32]]:
    """Embed each image: a unit vector float32 (D,) an image."""
    return list(model.embed(images))
