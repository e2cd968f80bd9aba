"""FaceNet: InceptionResnetV1 trained with a triplet loss and semi-hard mining.

Sources: Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and
Clustering", CVPR 2015 (loss, mining); Szegedy et al., 2017 (Inception-ResNet), as
implemented by facenet-pytorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from facemodels.data.splits import RecognitionSplit
from facemodels.params import Frozen, parse
from facemodels.recognition.batches import Augmentation, IdentityBatches, validation_metrics
from facemodels.recognition.task import Embedder
from facemodels.runtime import Runtime, export_onnx, torch_run
from facemodels.training.job import Interface, TrainJob
from facemodels.training.loop import train_to_file
from facemodels.training.settings import Positive, TorchTraining
from facemodels.training.weights import load_state

TITLE = "InceptionResnetV1"
FRAMEWORK = "pytorch"
FRAMEWORK_PACKAGE = "torch"
WEIGHTS = "model.pt"
RUNTIMES: tuple[Runtime, ...] = ("onnx", "torch")
REQUIREMENTS = ("numpy", "onnxruntime", "pillow", "PyYAML")
TRAINING_REQUIREMENTS = ("facenet-pytorch", "torch", "torchvision")
EMBEDDING_SIZE = 512

Count = Annotated[int, Field(ge=1)]


class Network(Frozen):
    """Shape of the network."""

    image_size: Annotated[int, Field(ge=80)]  # pixels; smaller leaves the last stage no pixel
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Training(TorchTraining):
    """The loop's hyperparameters and those of the triplet loss."""

    batch_people: Annotated[int, Field(ge=2)]
    batch_images: Annotated[int, Field(ge=2)]  # of each person
    margin: Positive  # of the distance between unit embeddings
    augmentation: Augmentation


def units(train: Mapping[str, Any]) -> int:
    """Steps."""
    return parse(Training, train, "train").steps


def budget(train: Mapping[str, Any], *, epochs: int, images: int) -> dict[str, Any]:
    """As many steps as see each image about once an epoch."""
    settings = parse(Training, train, "train")
    batch = settings.batch_people * settings.batch_images
    return {**train, "steps": max(1, epochs * images // batch)}


def build(network: Mapping[str, Any]) -> nn.Module:
    """The network with random weights from torch's generator; no download."""
    from facenet_pytorch import InceptionResnetV1

    shape = parse(Network, network, "network")
    net: nn.Module = InceptionResnetV1(pretrained=None, classify=False, dropout_prob=shape.dropout)
    return net


@dataclass
class TripletTask:
    """Pulls crops of one person together, pushes others apart by a margin."""

    settings: Training
    size: int
    train: RecognitionSplit
    val: RecognitionSplit
    monitor: str = "val_accuracy"

    def __post_init__(self) -> None:
        self._draw = IdentityBatches(
            self.train,
            people=self.settings.batch_people,
            images=self.settings.batch_images,
            size=self.size,
            seed=self.settings.seed,
            augmentation=self.settings.augmentation,
        )

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs (P*K, 3, S, S) and identities (P*K,) of a step."""
        inputs, identities = self._draw(step)
        # Channels last is the layout that the CPU's convolutions prefer. NumPy makes it: an
        # operation of torch in the loader's thread would start a second team of OpenMP
        # threads, whose waiting halves the speed of training.
        inputs = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return torch.from_numpy(inputs), torch.from_numpy(identities)

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Mean triplet loss over the semi-hard triplets of the batch."""
        inputs, identities = batch
        return semi_hard_triplet_loss(network(inputs), identities, self.settings.margin)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Accuracy and AUC on the validation pairs."""
        run = torch_run(network, self.settings.device)
        return validation_metrics(Embedder(run, self.size, EMBEDDING_SIZE), self.val)


def semi_hard_triplet_loss(embeddings: Tensor, identities: Tensor, margin: float) -> Tensor:
    """Triplet loss of unit embeddings (N, D), mined by pytorch-metric-learning.

    Semi-hard (Schroff et al., section 3.2): negatives farther than the positive, but
    within the margin. A batch without any such triplet has no loss. The distance is not
    squared: its gradient does not vanish where embeddings have almost met.
    """
    from pytorch_metric_learning import distances, losses, miners

    distance = distances.LpDistance(normalize_embeddings=False, p=2)
    miner = miners.TripletMarginMiner(margin, type_of_triplets="semihard", distance=distance)
    measure = losses.TripletMarginLoss(margin, distance=distance)
    embeddings = embeddings.float()
    value: Tensor = measure(embeddings, identities, miner(embeddings, identities))
    return value


def train(job: TrainJob) -> None:
    """Train on the split `train`, choose nothing but the stopping point on `val`."""
    settings = parse(Training, job.train, "train")
    shape = parse(Network, job.network, "network")
    train_to_file(
        job,
        settings,
        build=lambda: build(job.network).to(memory_format=torch.channels_last),
        task=lambda: TripletTask(
            settings,
            shape.image_size,
            RecognitionSplit.load(job.data / "train"),
            RecognitionSplit.load(job.data / "val"),
        ),
        weights=WEIGHTS,
    )


def interface(network: Mapping[str, Any]) -> Interface:
    """A square RGB crop in, a unit vector out."""
    size = parse(Network, network, "network").image_size
    return Interface(input_shape=(size, size, 3), output_shape=(EMBEDDING_SIZE,))


def preprocessing(network: Mapping[str, Any]) -> dict[str, Any]:
    """Resize the aligned crop to a square and scale it."""
    size = parse(Network, network, "network").image_size
    return {
        "color": "RGB",
        "resize": "bilinear, antialiased when shrinking",
        "size": [size, size],
        "mean": 127.5,
        "scale": 1 / 128,
        "layout": "NCHW float32",
    }


def load(weights: Path, network: Mapping[str, Any], *, threads: int) -> Embedder:
    """The embedder of a model.pt."""
    size = parse(Network, network, "network").image_size
    torch.set_num_threads(threads)
    return Embedder(torch_run(_restored(weights, network)), size, EMBEDDING_SIZE)


def untrained(network: Mapping[str, Any], data: Path, *, seed: int) -> Embedder:
    """The network as it was before its first step."""
    torch.manual_seed(seed)
    size = parse(Network, network, "network").image_size
    return Embedder(torch_run(build(network)), size, EMBEDDING_SIZE)


def export(weights: Path, network: Mapping[str, Any], path: Path) -> float:
    """Write ONNX: `images` float32 (N, 3, S, S) to `embeddings` (N, 512)."""
    size = parse(Network, network, "network").image_size
    example = np.random.default_rng(0).uniform(-1, 1, (2, 3, size, size)).astype(np.float32)
    return export_onnx(
        _restored(weights, network),
        path,
        example,
        input_name="images",
        output_name="embeddings",
    )


def _restored(weights: Path, network: Mapping[str, Any]) -> nn.Module:
    net = build(network)
    load_state(net, weights)
    return net.eval()
