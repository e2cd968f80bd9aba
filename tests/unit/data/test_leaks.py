from __future__ import annotations

import io

import numpy as np
from PIL import Image

from facemodels.data.leaks import shared_pictures


def pictures(seed: int, count: int) -> np.ndarray:
    rough = np.random.default_rng(seed).integers(0, 256, (count, 12, 12, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((96, 96))) for one in rough])


def compressed(image: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=60)
    return np.asarray(Image.open(stream))


def test_a_picture_in_two_splits_is_found_also_compressed_anew_and_brighter() -> None:
    train, test = pictures(1, 30), pictures(2, 20)
    assert shared_pictures({"train": train, "test": test}) == {}
    test[3], test[7] = compressed(train[5]), np.clip(train[9].astype(int) // 2 + 60, 0, 255)
    assert shared_pictures({"train": train, "val": pictures(3, 5), "test": test}) == {
        "train/test": 2
    }


def test_flat_pictures_are_not_taken_for_copies() -> None:
    flat = np.full((4, 64, 64, 3), 9, np.uint8)
    assert shared_pictures({"train": flat, "test": flat}) == {}
