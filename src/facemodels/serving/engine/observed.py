"""The metrics of a model that has no graph, hence no batcher that could report its runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Observe = Callable[[int, float, float], None]  # rows, seconds it took, seconds it had waited


class WaitingTime(threading.local):
    """How long the call that a thread of the pool works on had waited for that thread."""

    seconds = 0.0


class ObservedPredictor:
    """A predictor of any task that reports each call, as the batcher reports its runs.

    Args:
        predictor: a DetectionModel, a RecognitionModel, a LandmarkModel or a FaceSystem.
        observe: is called after each call of the predictor.
        waited: tells how long the call had waited.
    """

    def __init__(self, predictor: Any, observe: Observe, waited: WaitingTime) -> None:
        self._predictor = predictor
        self._observe = observe
        self._waited = waited

    def detect(self, images: Sequence[Image]) -> Any:
        """Find faces; see DetectionModel."""
        return self._timed(len(images), lambda: self._predictor.detect(images))

    def embed(self, images: Sequence[Image], *points: Any) -> Any:
        """Embed faces; see RecognitionModel."""
        return self._timed(len(images), lambda: self._predictor.embed(images, *points))

    def fit(self, images: Sequence[Image], boxes: NDArray[np.float32]) -> Any:
        """Fit points; see LandmarkModel."""
        return self._timed(len(images), lambda: self._predictor.fit(images, boxes))

    def find(self, photo: Image, *, min_score: float | None = None) -> Any:
        """Find and embed the faces of a photo; see FaceSystem."""
        return self._timed(1, lambda: self._predictor.find(photo, min_score=min_score))

    @property
    def embedder(self) -> Any:
        """The recogniser of a system."""
        return self._predictor.embedder

    def _timed(self, images: int, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        output = call()
        self._observe(images, time.perf_counter() - start, self._waited.seconds)
        return output
