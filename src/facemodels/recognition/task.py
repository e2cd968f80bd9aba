"""What every recognition architecture gives: unit embeddings of face crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from facemodels import imaging
from facemodels.imaging import Crop
from facemodels.runtime import Run

Image = NDArray[np.uint8]
Points = Sequence[NDArray[np.float32] | None]  # (5, 2) an image, see `facemodels.imaging.align`
Colour = Literal["RGB", "BGR"]


class RecognitionModel(Protocol):
    """A recognition model that is ready to use."""

    def embed(self, images: Sequence[Image], points: Points | None = None) -> NDArray[np.float32]:
        """Return unit embeddings float32 (N, D) of faces, uint8 HWC RGB.

        An image with points is a photo, from which the face is cut; one without is a crop.
        """


@dataclass(frozen=True)
class Preprocessing:
    """How a photo or a crop becomes an input of the network: (pixel - mean) * scale.

    Attributes:
        size: S, pixels, side of the network's input.
        mean: of each channel, in the network's order of channels.
        scale: the factor, one for all channels or one each, in the network's order.
        colour: the network's order of channels.
        crop: how the face is cut out of a photo; None for a package of before, which does
            not say it.
    """

    size: int
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    # 1 / 128 is facenet-pytorch's `fixed_image_standardization`.
    scale: float | tuple[float, float, float] = 1 / 128
    colour: Colour = "RGB"
    crop: Crop | None = None

    def __call__(
        self, images: Sequence[Image], points: Points | None = None
    ) -> NDArray[np.float32]:
        """Turn faces into a float32 (N, 3, S, S) batch.

        Args:
            images: uint8 HWC RGB of any size: crops, or photos where they have points.
            points: float32 (5, 2) of each image, or None where an image is a crop.

        Raises:
            ImageError: an image or its points cannot be used.
        """
        batch = np.empty((len(images), 3, self.size, self.size), np.float32)
        for row, image in enumerate(images):
            face = self.cut(image, points[row] if points is not None else None)
            square = imaging.resize(face, self.size, self.size)
            batch[row] = square.transpose(2, 0, 1)[:: 1 if self.colour == "RGB" else -1]
        batch -= np.array(self.mean, np.float32)[:, None, None]
        batch *= np.array(self.scale, np.float32).reshape(-1, 1, 1)
        return batch

    def cut(self, image: Image, points: NDArray[np.float32] | None) -> Image:
        """The face of a photo with points; an image without points as it is.

        Raises:
            ImageError: the image or its points cannot be used, or the model does not say how
                a face is cut out by points.
        """
        if points is None:
            return imaging.as_rgb(image)
        if self.crop is None or self.crop.kind != "points":
            raise imaging.ImageError("the model takes crops, and no points of the face")
        return self.crop.cut(image, points)

    def as_config(self) -> dict[str, Any]:
        """The values for config.yaml of a package."""
        values: dict[str, Any] = {
            "color": self.colour,
            "resize": "bilinear, antialiased when shrinking",
            "size": [self.size, self.size],
            "mean": list(self.mean),
            "scale": list(self.scale) if isinstance(self.scale, tuple) else self.scale,
            "layout": "NCHW float32",
        }
        return values | ({"crop": self.crop.as_config()} if self.crop else {})

    @classmethod
    def of_config(cls, values: Mapping[str, Any]) -> Self:
        """Read the values of config.yaml; a package of before has one mean and no crop."""
        mean = values.get("mean", 127.5)
        channels = (mean, mean, mean) if isinstance(mean, int | float) else tuple(mean)
        scale = values.get("scale", 1 / 128)
        crop = values.get("crop")
        return cls(
            size=values["size"][0],
            mean=channels,
            scale=scale if isinstance(scale, int | float) else tuple(scale),
            colour=values.get("color", "RGB"),
            crop=Crop.of_config(crop) if crop else None,
        )


def crop_or_none(name: str) -> Crop | None:
    """The crop of a name; None for "", which a package of before has.

    Raises:
        InputError: there is no crop of that name.
    """
    return imaging.crop_named(name) if name else None


@dataclass(frozen=True)
class Embedder:
    """A recognition model around a network that runs on NumPy batches.

    Attributes:
        run: float32 (N, 3, S, S) to unit embeddings float32 (N, D).
        preprocessing: how a face becomes an input of the network.
        embedding_size: D.
        batch: the most images of one run.
    """

    run: Run
    preprocessing: Preprocessing
    embedding_size: int
    batch: int = 32

    @property
    def crop_name(self) -> str:
        """The name of the crop that the network takes; "" where the package does not say it."""
        return self.preprocessing.crop.name if self.preprocessing.crop else ""

    def embed(self, images: Sequence[Image], points: Points | None = None) -> NDArray[np.float32]:
        """Return unit embeddings float32 (N, D); see `RecognitionModel`."""
        if len(images) == 0:
            return np.empty((0, self.embedding_size), np.float32)
        parts = []
        for start in range(0, len(images), self.batch):
            chosen = slice(start, start + self.batch)
            inputs = self.preprocessing(images[chosen], points[chosen] if points else None)
            parts.append(self.run(inputs))
        return np.concatenate(parts)


def served(run: Run, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Embedder:
    """Return the embedder around a package's ONNX graph."""
    preprocessing = Preprocessing.of_config(config["preprocessing"])
    return Embedder(run, preprocessing, metadata["output_shape"][0])


def postprocessing() -> dict[str, Any]:
    """What a graph of the task gives, for config.yaml of a package."""
    return {
        "output": "embeddings (N, D)",
        "length": "1: the graph divides by the Euclidean norm",
        "compare": "dot product; one person from `threshold` on",
    }


def predict(model: RecognitionModel, images: Sequence[Image]) -> list[NDArray[np.float32]]:
    """Embed each image: a unit vector float32 (D,) an image."""
    return list(model.embed(images))
