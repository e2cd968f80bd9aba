"""The ONNX graph as a server wants it: its own session options, its tensors' names and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facemodels.runtime import Batch, Run


@dataclass(frozen=True)
class Graph:
    """A graph with one input and one output, float32, with a free batch axis.

    Attributes:
        run: rows of the input to rows of the output.
        input_name: for example `images`.
        input_shape: of one row.
        output_name: for example `embeddings`.
        output_shape: of one row.
    """

    run: Run
    input_name: str
    input_shape: tuple[int, ...]
    output_name: str
    output_shape: tuple[int, ...]


def load(path: Path, *, threads: int) -> Graph:
    """Open model.onnx with ONNX Runtime on the CPU.

    Args:
        path: the file, verified.
        threads: intra-op; they sleep between runs. By default they spin, which takes the
            processor from the threads that read requests and decode images (docs/results.md).
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    source, target = session.get_inputs()[0], session.get_outputs()[0]

    def run(batch: Batch) -> Batch:
        output: Batch = session.run(None, {source.name: batch})[0]
        return output

    return Graph(run, source.name, tuple(source.shape[1:]), target.name, tuple(target.shape[1:]))
