"""What a training keeps of the embedding space of an older model.

The older model embeds the training crops once, each in the older model's own crop; a person's
prototype is the mean of the person's embeddings. `losses.influence` draws the new features to
the prototypes, so that new faces find old ones in a gallery.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import RecognitionSplit
from facemodels.errors import InputError
from facemodels.recognition.batches import embedded
from facemodels.recognition.task import Embedder


def prototypes(old: Embedder, folder: Path, *, embedding_size: int) -> NDArray[np.float32]:
    """Return the direction of each person of a split in the space of an older model.

    Args:
        old: the older model.
        folder: the folder of the split, which has the faces in the older model's crop.
        embedding_size: D of the network that learns.

    Returns:
        float32 (C, D), of unit length, in the order of the people's numbers.

    Raises:
        InputError: the older model gives embeddings of another size.
        DataError: the folder holds no prepared split, or none in the older model's crop.
    """
    if old.embedding_size != embedding_size:
        raise InputError(
            f"the model of train.compatible_with gives {old.embedding_size} numbers and the "
            f"network {embedding_size}, which no gallery can hold side by side.",
            f"Use a network with embeddings of {old.embedding_size} numbers (of ArcFace: "
            f"network.embedding_size={old.embedding_size}).",
        )
    split = RecognitionSplit.load(folder, old.crop_name)
    people, person = np.unique(split.identities, return_inverse=True)
    sums = np.zeros((len(people), embedding_size))
    np.add.at(sums, person, embedded(old, split.images))
    means: NDArray[np.float32] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return means.astype(np.float32)
