"""One face through dlib's embedder: dlib itself beside our ONNX form of the same weights.

python -m benchmarks.embedder [--rounds N]

The three take turns, so that they share whatever else the machine does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dlib
import numpy as np

from facemodels.recognition.dlib import PREPROCESSING, PRETRAINED, DlibEmbedder
from facemodels.recognition.dlib.dat_file import read
from facemodels.recognition.dlib.network import SIZE, DlibResNet, load_dat
from facemodels.runtime import open_graph
from facemodels.text import markdown


def main() -> None:
    """Print medians in milliseconds, and how much faster ours is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    chip = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    network = DlibResNet().eval()
    load_dat(network, read(PRETRAINED.locate()), "the file")
    original = dlib.face_recognition_model_v1(str(PRETRAINED.locate()))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        DlibEmbedder.of({}).export_network(network, path)
        one, two = (open_graph(path, threads=threads).run for threads in (1, 2))
    ways: dict[str, Callable[[], object]] = {
        "dlib itself (one thread)": lambda: original.compute_face_descriptor(chip),
        "ours, ONNX Runtime, one thread": lambda: one(PREPROCESSING([chip])),
        "ours, ONNX Runtime, two threads": lambda: two(PREPROCESSING([chip])),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            times[name].append(1000 * (time.perf_counter() - start))
    medians = {name: float(np.median(values)) for name, values in times.items()}
    slowest = medians["dlib itself (one thread)"]
    rows = [
        {"way": name, "p50 ms": round(p50, 1), "times faster": round(slowest / p50, 1)}
        for name, p50 in medians.items()
    ]
    print(markdown(rows))


if __name__ == "__main__":
    main()
