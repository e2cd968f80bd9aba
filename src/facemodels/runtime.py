"""Running a network on NumPy batches: torch for the weights, ONNX Runtime for what is served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

Batch = NDArray[np.float32]
Run = Callable[[Batch], Batch]
Runtime = Literal["torch", "onnx", "native"]  # native: the architecture's own library (dlib)


def torch_run(network: nn.Module, device: str = "cpu") -> Run:
    """Run an eval-mode network: float32 batch in, float32 batch out, no gradients."""
    import torch

    network = network.to(device).eval()

    def run(batch: Batch) -> Batch:
        with torch.inference_mode():
            output: Batch = network(torch.from_numpy(batch).to(device)).float().cpu().numpy()
        return output

    return run


def onnx_run(path: Path, *, threads: int) -> Run:
    """Run an ONNX file with ONNX Runtime on the CPU.

    Args:
        path: a graph with one input and one output, both float32 with a free batch axis.
        threads: intra-op threads; one inter-op thread, since our graphs are chains.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(batch: Batch) -> Batch:
        output: Batch = session.run(None, {name: batch})[0]
        return output

    return run


def export_onnx(
    network: nn.Module, path: Path, example: Batch, *, input_name: str, output_name: str
) -> float:
    """Write `network` as ONNX with a free batch axis and compare it with torch.

    The exporter that traces (`dynamo=False`) is used: its bytes are the same in every
    process, while the newer one writes source paths into the file.

    Args:
        network: in eval mode, on the CPU.
        path: the file to write.
        example: float32 batch of at least two, used for the trace and the comparison.
        input_name: name of the graph's input.
        output_name: name of the graph's output.

    Returns:
        Largest absolute difference between ONNX Runtime and torch on `example`.
    """
    import warnings

    import torch

    with warnings.catch_warnings():
        # The exporter announces its successor and traces shape checks that hold for every
        # batch; the comparison below is what tells whether the graph is right.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.from_numpy(example),),
            str(path),
            input_names=[input_name],
            output_names=[output_name],
            dynamic_axes={input_name: {0: "batch"}, output_name: {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    return float(np.abs(onnx_run(path, threads=1)(example) - torch_run(network)(example)).max())
