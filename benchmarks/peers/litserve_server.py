"""LitServe around an ONNX graph: python litserve_server.py GRAPH PORT THREADS ROWS [WORKERS].

Runs with Python of benchmarks/peers/litserve.txt. LitServe has no binary tensors over HTTP: the
tensor's bytes travel in base64, as images do in its documentation. `fast_queue` (ZeroMQ) is on,
the log off. ROWS over 1 switches its batching on, with a timeout of a millisecond.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence

import litserve as ls  # type: ignore[import-not-found]
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Tensor = NDArray[np.float32]


class OnnxApi(ls.LitAPI):  # type: ignore[misc]
    """Takes and gives the bytes of a tensor in base64."""

    def __init__(self, graph: str, threads: int, rows: int) -> None:
        super().__init__(max_batch_size=rows, batch_timeout=0.001 if rows > 1 else 0.0)
        self._graph, self._threads, self._batched = graph, threads, rows > 1

    def setup(self, device: str) -> None:
        """Open the graph with the session options that all contestants have."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(
            self._graph, options, providers=["CPUExecutionProvider"]
        )
        source = self._session.get_inputs()[0]
        self._input, self._shape = source.name, source.shape[1:]

    # LitServe reads the annotation: with any, FastAPI would look for a parameter of the query.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """One row."""
        data = np.frombuffer(base64.b64decode(request["tensor"]), np.float32)
        return data.reshape(1, *self._shape)

    def batch(self, inputs: Sequence[Tensor]) -> Tensor:
        """Rows to a batch."""
        return np.concatenate(inputs)

    def predict(self, x: Tensor) -> Tensor:
        """One run."""
        output: Tensor = self._session.run(None, {self._input: x})[0]
        return output

    def unbatch(self, output: Tensor) -> list[Tensor]:
        """A batch to rows."""
        return list(output)

    def encode_response(self, output: Tensor) -> dict[str, str]:
        """One answer."""
        return {"tensor": base64.b64encode(output.tobytes()).decode()}


def main() -> None:
    """Start LitServe."""
    graph, port, threads, rows, *workers = sys.argv[1:]
    api = OnnxApi(graph, int(threads), int(rows))
    server = ls.LitServer(
        api, accelerator="cpu", fast_queue=True, workers_per_device=int((workers or ["1"])[0])
    )
    server.run(
        host="127.0.0.1", port=int(port), log_level="error", access_log=False,
        generate_client_file=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
