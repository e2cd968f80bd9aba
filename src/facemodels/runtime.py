"""Running a network on NumPy batches: torch for the weights, ONNX Runtime for what is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from facemodels.determinism import settled
from facemodels.files import announce_read
from facemodels.graph_rewriting import rewrite_file

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import nn

Batch = NDArray[np.float32]
Run = Callable[[Batch], Batch]
RunAll = Callable[[Batch], tuple[Batch, ...]]  # of a network with several outputs
# onnx: one graph; graphs: several, with steps between them; native: the architecture's own
# library (dlib); members: other packages, which a system is made of.
Runtime = Literal["torch", "onnx", "graphs", "native", "members"]
PROVIDERS = ("CPUExecutionProvider",)  # ONNX Runtime's
PRECISION = "float32"  # of a package that states no other


def torch_run(network: nn.Module, device: str = "cpu") -> Run:
    """Run an eval-mode network: float32 batch in, float32 batch out, no gradients."""
    import torch

    network = network.to(device).eval()

    def run(batch: Batch) -> Batch:
        with torch.inference_mode():
            output: Batch = network(torch.from_numpy(batch).to(device)).float().cpu().numpy()
        return output

    return run


@dataclass(frozen=True)
class Graph:
    """An ONNX graph with one input and one output, float32, with a free batch axis.

    Attributes:
        run: runs rows of the input to rows of the output.
        input_name: for example `images`.
        input_shape: the shape of one row of the input.
        output_name: for example `embeddings`.
        output_shape: the shape of one row of the output.
    """

    run: Run
    input_name: str
    input_shape: tuple[int, ...]
    output_name: str
    output_shape: tuple[int, ...]


def onnx_session(model: Path | bytes, *, threads: int) -> InferenceSession:
    """Open an ONNX model with the options that everything here runs it with.

    The server, the benchmark, the suite and the evaluation all come through here, so what
    is measured is what is served, but for the last bits in a stage that computes portably: there
    one thread runs the graph without ONNX Runtime's own layout of convolutions (NCHWc), whose
    kernels for AVX-512 and AVX2 round otherwise. All others were seen to agree, while they give
    other bits for other numbers of threads (docs/determinism.md).

    Args:
        model: the file, or its bytes.
        threads: intra-op threads, with one inter-op thread, since our graphs are chains.
            They sleep between runs. By default they spin, which takes the processor from
            the threads that read requests and decode images (docs/results.md).
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    if settled() == "portable":
        threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else announce_read(model)
    return ort.InferenceSession(source, options, providers=list(PROVIDERS))


def open_graph(model: Path | bytes, *, threads: int) -> Graph:
    """Open an ONNX graph that has one input and one output; see `onnx_session`."""
    session = onnx_session(model, threads=threads)
    source, target = session.get_inputs()[0], session.get_outputs()[0]

    def run(batch: Batch) -> Batch:
        output: Batch = session.run(None, {source.name: batch})[0]
        return output

    return Graph(run, source.name, tuple(source.shape[1:]), target.name, tuple(target.shape[1:]))


def open_graphs(models: Mapping[str, Path], *, threads: int) -> dict[str, RunAll]:
    """Open ONNX graphs that have one input and any number of outputs; see `onnx_session`.

    Args:
        models: the files by name.
        threads: intra-op threads of each.
    """
    return {name: _run_all(onnx_session(path, threads=threads)) for name, path in models.items()}


def _run_all(session: InferenceSession) -> RunAll:
    (source,) = session.get_inputs()

    def run(batch: Batch) -> tuple[Batch, ...]:
        return tuple(session.run(None, {source.name: batch}))

    return run


def export_onnx(
    network: nn.Module, path: Path, example: Batch, *, input_name: str, output_name: str
) -> float:
    """Write `network` as ONNX with a free batch axis and compare it with torch.

    The graph is rewritten where that makes it faster, see `facemodels.graph_rewriting`.

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
    rewrite_file(path)
    return float(
        np.abs(open_graph(path, threads=1).run(example) - torch_run(network)(example)).max()
    )
