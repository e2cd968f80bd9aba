"""The limit: ONNX Runtime in a loop without HTTP, with the server's own session.

A process that reads jobs as JSON lines on stdin and answers each with a line:
python -m benchmarks.bare PACKAGE THREADS
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from facemodels.models import served
from facemodels.package.load import open_package
from facemodels.package.verify import ONNX
from facemodels.runtime import open_graph

Job = dict[str, Any]


def repeat(call: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call, for a while."""
    taken = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        call()
        taken.append(time.perf_counter() - start)
    return taken


def example(shape: tuple[int, ...], rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The tensor that every contestant gets."""
    return np.random.default_rng(0).uniform(-1, 1, (rows, *shape)).astype(np.float32)


class Bare:
    """One package's graph."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.package = open_package(folder)
        self.graph = open_graph(folder / ONNX, threads=threads)

    def loop(self, job: Job) -> dict[str, object]:
        """Rows a second, one run after the other."""
        batch = example(self.graph.input_shape, job["rows"])
        self.graph.run(batch)
        before = time.process_time()
        taken = repeat(lambda: self.graph.run(batch), job["seconds"])
        rows = job["rows"] * len(taken)
        return {
            "per_second": rows / sum(taken),
            "latencies_s": taken,
            "cpu_ms": (time.process_time() - before) / rows * 1e3,
        }

    def output(self, job: Job) -> dict[str, object]:
        """What the graph makes of the example."""
        return {"output": self.graph.run(example(self.graph.input_shape, 1)).tolist()}

    def parts(self, job: Job) -> dict[str, object]:
        """Seconds of each part of embedding a JPEG, again and again."""
        from facemodels.imaging import decode
        from facemodels.recognition.task import Preprocessing

        data = Path(job["jpeg"]).read_bytes()
        package = self.package
        predictor = served(package.task, self.graph.run, package.config, package.metadata)
        size, image = self.graph.input_shape[-1], decode(data)
        preprocess = Preprocessing(size)
        batch = preprocess([image])
        vector = predictor.embed([image])[0]
        calls: dict[str, Callable[[], object]] = {
            "decode": lambda: decode(data),
            "resize and scale": lambda: preprocess([image]),
            "graph": lambda: self.graph.run(batch),
            "JSON": lambda: orjson.dumps(np.asarray(vector, np.float64).tolist()),
        }
        return {name: repeat(call, job["seconds"]) for name, call in calls.items()}


def main() -> None:
    """Answer jobs until stdin ends."""
    bare = Bare(Path(sys.argv[1]), int(sys.argv[2]))
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(getattr(bare, job["do"])(job)), flush=True)


if __name__ == "__main__":
    main()
