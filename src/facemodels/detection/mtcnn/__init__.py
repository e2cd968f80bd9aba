"""MTCNN: boxes and five points by three networks, with the authors' weights.

Source: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks", IEEE Signal Processing Letters 2016; networks and weights by
facenet-pytorch (MIT).

Nothing here imports torch before it is needed: a package is served through `cascade`.

Modules in reading order:

- `cascade`: from a picture through the three networks to boxes, scores and points.
- `area`: the resizing that the weights expect.
- `suppression`: non-maximum suppression.
- `calibration`: the choice of the thresholds and of the least size of a face.
- `authors`: the pins of the authors' weights.
- `networks`: the networks under torch and their export.
- `example`: the script in the model card of a package: all steps in one file.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemodels.architecture.contract import Architecture, ExportedGraphs, Interface, TrainJob
from facemodels.data.splits import DetectionSplit
from facemodels.detection.mtcnn.authors import authors_weights
from facemodels.detection.mtcnn.calibration import MtcnnTraining, Scenes, Values, calibrate
from facemodels.detection.mtcnn.cascade import OVERLAP, POINTS, Cascade, CascadeSettings, Factor
from facemodels.errors import FacemodelsError
from facemodels.params import Count, Frozen
from facemodels.training.initial_weights import InitialWeights

if TYPE_CHECKING:
    from facemodels.detection.mtcnn.networks import Networks

# The values that facenet-pytorch has by default.
AUTHORS: Values = {"pnet": 0.6, "rnet": 0.7, "onet": 0.7, "min_face_size": 20}


class MtcnnNetwork(Frozen):
    """What calibration does not choose; see `CascadeSettings`."""

    factor: Factor
    max_pixels: Count


class Mtcnn(Architecture[MtcnnNetwork, MtcnnTraining]):
    """MTCNN with the authors' weights; its training is a calibration of the thresholds."""

    task = "detection"
    name = "mtcnn"
    title = "MTCNN"
    framework = "pytorch"
    framework_package = "torch"
    weights_file = "model.pt"
    runtimes = ("graphs", "torch")
    requirements = ("numpy", "onnxruntime", "pillow", "PyYAML")
    training_requirements = ("facenet-pytorch", "torch", "torchvision")
    network_type = MtcnnNetwork
    training_type = MtcnnTraining

    def initial_weights(self, settings: MtcnnTraining) -> InitialWeights:
        """Return the folder of the authors' three files, verified; see `Architecture`."""
        return authors_weights()

    def is_imported(self, settings: MtcnnTraining) -> bool:
        """Return that the weights stay as they are."""
        return True

    def units(self, settings: MtcnnTraining) -> int:
        """Return how often the training scenes are searched."""
        return settings.trials

    def budget(self, settings: MtcnnTraining, *, epochs: int, images: int) -> MtcnnTraining:
        """Refuse: no weight is trained.

        Raises:
            FacemodelsError: always.
        """
        raise FacemodelsError(
            f"MTCNN keeps the authors' weights; its {images} scenes calibrate thresholds in one "
            f"pass, not in {epochs}.",
            "Leave --epochs out, and set `scenes` or the lists of values in the config.",
        )

    def train(self, settings: MtcnnTraining, job: TrainJob) -> None:
        """Calibrate: choose the thresholds and the least size of a face on `train`.

        The records have the values tried, `loss` (1 - F1 at IoU 0.5 on the training scenes) and
        the rates of the choice so far on `val`. A calibration that was killed starts again.
        """
        from facemodels.detection.mtcnn.networks import pretrained
        from facemodels.training.loop import deterministic
        from facemodels.training.weights import save_state

        train, val = (
            Scenes.drawn(DetectionSplit.load(job.data / name), settings.scenes, seed=settings.seed)
            for name in ("train", "val")
        )
        networks = pretrained(self.initial_weights(settings).path)

        def detector(values: Values) -> Cascade:
            return Cascade(networks.runs(), self.cascade_settings(values))

        with deterministic(settings.threads, settings.seed):
            validated: Values = {}
            trials = calibrate(settings, lambda values: train.rates(detector(values)).f1)
            for step, (trial, choice) in enumerate(trials):
                record = {"step": float(step), "loss": 1 - trial.f1, **trial.values}
                if choice.values != validated:
                    validated, rates = choice.values, val.rates(detector(choice.values))
                job.log({**record, "val_f1": rates.f1, "val_recall": rates.recall})
                job.advance(1)
        networks.keep(self.cascade_settings(choice.values))
        save_state(networks.state_dict(), job.output / self.weights_file)

    def interface(self) -> Interface:
        """Return the shapes: any RGB image in; for each face a box, a score and five points."""
        return Interface(input_shape=(0, 0, 3), output_shape=(0, 5 + 2 * POINTS))

    def preprocessing(self) -> dict[str, Any]:
        """Return how a level of the pyramid or a crop becomes an input."""
        return {
            "color": "RGB",
            "resize": "area: each new pixel is the mean of the whole pixels that it touches",
            "mean": 127.5,
            "scale": 1 / 128,
            "layout": "NCHW float32",
        }

    def postprocessing(self) -> dict[str, Any]:
        """Return what stands behind O-Net; the steps between the graphs are in the example."""
        return {
            "output": "box offsets (N, 4), five x and five y (N, 10), probabilities (N, 2)",
            "clip": "boxes to the image; points may lie outside",
            "suppression": "greedy, best first; overlap is of the smaller box, sides + 1",
            "overlap": OVERLAP,
            "most": "as many as pass",
            "boxes": "x0 y0 x1 y1 in pixels of the upright image, edges frame",
            "points": "five, x y, centres frame, as they stand from left to right",
        }

    def load(self, weights: Path, *, threads: int) -> Cascade:
        """Return the cascade of a model.pt, whose networks run under torch on the CPU."""
        import torch

        torch.set_num_threads(threads)
        networks = self._restored(weights)
        return Cascade(networks.runs(), self._calibrated(networks))

    def untrained(self, data: Path, *, seed: int) -> Cascade:
        """Return the cascade around networks with random weights, with the authors' values."""
        import torch

        from facemodels.detection.mtcnn.networks import Networks

        torch.manual_seed(seed)
        return Cascade(Networks().runs(), self.cascade_settings(AUTHORS))

    def export_graphs(self, weights: Path, folder: Path) -> ExportedGraphs:
        """Write `pnet.onnx`, `rnet.onnx` and `onet.onnx`; see `Architecture.export_graphs`."""
        from facemodels.detection.mtcnn.networks import export

        networks = self._restored(weights)
        files, error = export(networks, folder)
        values = self._calibrated(networks).model_dump(mode="json")
        return ExportedGraphs(files, {"name": "mtcnn", **values}, error)

    def cascade_settings(self, values: Values) -> CascadeSettings:
        """Return the settings of the cascade with calibrated values."""
        return CascadeSettings(
            thresholds=(values["pnet"], values["rnet"], values["onet"]),
            min_face_size=int(values["min_face_size"]),
            **self.network.model_dump(),
        )

    def example(self) -> str:
        """Return the script with all steps, which needs NumPy and ONNX Runtime alone."""
        return resources.files(__name__).joinpath("example.py").read_text("utf-8")

    def _restored(self, weights: Path) -> Networks:
        from facemodels.detection.mtcnn.networks import Networks
        from facemodels.training.weights import load_state

        networks = Networks()
        load_state(networks, weights)
        return networks

    def _calibrated(self, networks: Networks) -> CascadeSettings:
        thresholds, size = networks.calibrated()
        return self.cascade_settings(dict(zip(AUTHORS, (*thresholds, size), strict=True)))
