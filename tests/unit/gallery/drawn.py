"""A system that reads who is in a photo from its first pixels, and such photos."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from facemodels.gallery.faces import SourcePhoto, photo_of
from facemodels.gallery.opened import GallerySystem
from facemodels.system.calibration import Calibration
from facemodels.system.faces import Face
from facemodels.system.quality import Quality, QualityLimits

OLD, NEW = "recognition-old-0123", "recognition-new-4567"
CALIBRATION = Calibration((0.001, 0.01, 0.1), (0.9, 0.7, 0.5), 30000, "a test")


def drawn(*people: int, take: int = 0, eyes: int = 40, boxes: int = 1) -> SourcePhoto:
    """A photo of people, who are numbers from 1 on.

    `take` makes another photo of the same, `eyes` is the distance of the eyes, and `boxes` is how
    often the system finds each face.
    """
    image = np.zeros((40, 8, 3), np.uint8)
    image[0, : len(people), 0] = people
    image[1, 0] = take, eyes, boxes
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    name = f"photo-{'-'.join(map(str, people))}-{take}.png"
    return photo_of(stream.getvalue(), name)


def embedding(person: int, take: int, space: str, dimension: int) -> np.ndarray:
    """Photos of one person have a similarity of about 0.98, of two people about 0."""
    base = np.random.default_rng([person, len(space)]).normal(size=dimension)
    noise = np.random.default_rng([person, take, 9]).normal(size=dimension)
    vector = base / np.linalg.norm(base) + 0.15 * noise / np.linalg.norm(noise)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def system(space: str = OLD, *, dimension: int = 64, shift: float = 0.0) -> GallerySystem:
    """The system; `shift` moves its boxes, as another detector would."""

    def find(image: np.ndarray) -> list[Face]:
        take, eyes, boxes = (int(value) for value in image[1, 0])
        found = []
        for place, person in enumerate(int(value) for value in image[0, :, 0] if value):
            for again in range(boxes):
                x = place * 100 + again * 4 + shift
                box = np.array([x, 0, x + 50, 60], np.float32)
                vector = embedding(person, take, space, dimension)
                points = np.zeros((5, 2), np.float32)
                found.append(Face(box, 0.9 - 0.1 * again, points, Quality(eyes, 50.0), vector))
        return found

    return GallerySystem(
        f"sys-{space} sha256:00", space, dimension, find, 0.7, QualityLimits(eyes=20), 0.7,
        CALIBRATION,
    )  # fmt: skip
