"""MLServer around an ONNX graph: python mlserver_server.py GRAPH PORT THREADS ROWS.

Runs with Python of benchmarks/peers/mlserver.txt. What its documentation recommends for speed is
on: no inference pool (`parallel_workers` 0: a graph that lets go of the GIL gains nothing from
sending tensors to another process), uvloop, httptools and orjson; access log, metrics and gzip
are off. ROWS over 1 switches adaptive batching on, which then waits up to a millisecond.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import Base64Codec, NumpyCodec  # type: ignore[import-not-found]
from mlserver.types import (  # type: ignore[import-not-found]
    InferenceRequest,
    InferenceResponse,
)


class OnnxRuntime(MLModel):  # type: ignore[misc]
    """Takes a tensor as numbers in JSON, or as its bytes in base64; answers likewise."""

    async def load(self) -> bool:
        """Open the graph with the session options that all contestants have."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ["BENCH_THREADS"])
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(
            os.environ["BENCH_GRAPH"], options, providers=["CPUExecutionProvider"]
        )
        source = self._session.get_inputs()[0]
        self._input, self._shape = source.name, source.shape[1:]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One run a request, or a batch of them."""
        given = payload.inputs[0]
        packed = given.datatype == "BYTES"
        if packed:
            rows = [np.frombuffer(item, np.float32) for item in Base64Codec.decode_input(given)]
            batch = np.stack(rows).reshape(-1, *self._shape)
        else:
            batch = NumpyCodec.decode_input(given)
        output = self._session.run(None, {self._input: batch})[0]
        if packed:
            answer = Base64Codec.encode_output("output", [row.tobytes() for row in output])
        else:
            answer = NumpyCodec.encode_output("output", output)
        return InferenceResponse(model_name=self.name, outputs=[answer])


def main() -> None:
    """Write MLServer's settings and start it."""
    from mlserver.cli import main as cli  # type: ignore[import-not-found]

    graph, port, threads, rows = sys.argv[1:]
    os.environ |= {"BENCH_GRAPH": graph, "BENCH_THREADS": threads}
    folder = Path(tempfile.mkdtemp())
    settings = {
        "host": "127.0.0.1", "http_port": int(port), "grpc_port": int(port) + 1,
        "debug": False, "parallel_workers": 0, "gzip_enabled": False, "metrics_endpoint": None,
    }  # fmt: skip
    model = {"name": "model", "implementation": "mlserver_server.OnnxRuntime"}
    if int(rows) > 1:
        model |= {"max_batch_size": int(rows), "max_batch_time": 0.001}  # type: ignore[dict-item]
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    sys.path.insert(0, str(Path(__file__).parent))
    sys.argv = ["mlserver", "start", str(folder)]
    cli()


if __name__ == "__main__":
    main()
