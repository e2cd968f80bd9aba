"""MTCNN's three networks under torch: their state, their runs and their export to ONNX.

The networks are facenet-pytorch's (MIT).
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facemodels.detection.mtcnn.cascade import NETWORKS, CascadeSettings
from facemodels.errors import FacemodelsError
from facemodels.files import write_bytes
from facemodels.runtime import Batch, RunAll, open_graphs

OUTPUTS = {
    "pnet": ("offsets", "probabilities"),
    "rnet": ("offsets", "probabilities"),
    "onet": ("offsets", "points", "probabilities"),
}
_SIDES = {"pnet": 40, "rnet": 24, "onet": 48}  # pixels of the input that the export is tried with
_TOLERANCE = 1e-4  # between ONNX Runtime and torch
_OPSET = 17


class Networks(nn.Module):
    """P-Net, R-Net and O-Net with the values that calibration chose, as one state dict.

    Attributes:
        pnet: to box offsets and probabilities.
        rnet: to box offsets and probabilities.
        onet: to box offsets, points and probabilities.
        thresholds: float64 (3,), least scores after each network.
        min_face_size: int64 (), pixels.
    """

    thresholds: Tensor
    min_face_size: Tensor

    def __init__(self) -> None:
        from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

        super().__init__()
        self.pnet = PNet(pretrained=False)
        self.rnet = RNet(pretrained=False)
        self.onet = ONet(pretrained=False)
        self.register_buffer("thresholds", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("min_face_size", torch.zeros((), dtype=torch.int64))

    def keep(self, settings: CascadeSettings) -> None:
        """Write the calibrated values into the state."""
        self.thresholds.copy_(torch.tensor(settings.thresholds, dtype=torch.float64))
        self.min_face_size.fill_(settings.min_face_size)

    def calibrated(self) -> tuple[tuple[float, float, float], int]:
        """The thresholds and the least size of a face that the state holds."""
        first, second, third = self.thresholds.tolist()
        return (first, second, third), int(self.min_face_size.item())

    def runs(self) -> dict[str, RunAll]:
        """The networks on NumPy batches, by name."""
        return {name: _run_all(getattr(self, name).eval()) for name in NETWORKS}


def pretrained(folder: Path) -> Networks:
    """The networks with the authors' weights, whose files in `folder` were verified."""
    networks = Networks()
    for name in NETWORKS:
        state = torch.load(folder / f"{name}.pt", map_location="cpu", weights_only=True)
        getattr(networks, name).load_state_dict(state)
    return networks


def export(networks: Networks, folder: Path) -> tuple[dict[str, str], float]:
    """Write each network as ONNX into `folder`; equal weights give equal bytes.

    The batch axis is free, and of P-Net height and width too. The input is `images`.

    Returns:
        The names of the files by network, and the largest absolute difference between ONNX
        Runtime and torch.

    Raises:
        FacemodelsError: a graph computes something else than its network.
    """
    files = {name: f"{name}.onnx" for name in NETWORKS}
    for name, file in files.items():
        write_bytes(folder / file, _onnx(name, getattr(networks, name).eval()))
    graphs = open_graphs({name: folder / file for name, file in files.items()}, threads=1)
    error = max(_difference(name, graphs[name], run) for name, run in networks.runs().items())
    if error > _TOLERANCE:
        raise FacemodelsError(
            f"the ONNX graphs of MTCNN differ from torch by {error:.3g}.",
            "Check the versions of torch and onnxruntime against requirements.lock.",
        )
    return files, error


@torch.no_grad()
def _onnx(name: str, network: nn.Module) -> bytes:
    """Trace a network; torch's older exporter writes no path, date or docstring."""
    buffer = io.BytesIO()
    free = {0: "batch", 2: "height", 3: "width"} if name == "pnet" else {0: "batch"}
    with warnings.catch_warnings():
        # The exporter announces its successor; `export` compares the graph with the network.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.from_numpy(_noise(name, 2)),),
            buffer,  # type: ignore[arg-type]  # works, but the stubs know paths only
            input_names=["images"],
            output_names=list(OUTPUTS[name]),
            dynamic_axes={
                "images": free,
                **{output: free if name == "pnet" else {0: "batch"} for output in OUTPUTS[name]},
            },
            opset_version=_OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def _difference(name: str, graph: RunAll, network: RunAll) -> float:
    """The largest difference of two runs on three images of noise, of another size for P-Net."""
    batch = _noise(name, 3, further=17 if name == "pnet" else 0)
    pairs = zip(graph(batch), network(batch), strict=True)
    return max(float(np.abs(one - other).max()) for one, other in pairs)


def _noise(name: str, count: int, further: int = 0) -> Batch:
    side = _SIDES[name] + further
    return np.random.default_rng(0).uniform(-1, 1, (count, 3, side, side)).astype(np.float32)


def _run_all(network: nn.Module) -> RunAll:
    def run(batch: Batch) -> tuple[Batch, ...]:
        with torch.inference_mode():
            return tuple(output.numpy() for output in network(torch.from_numpy(batch)))

    return run
