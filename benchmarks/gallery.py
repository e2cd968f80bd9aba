"""The search of a gallery: recall and time of the exact index and of the one in cells.

    OMP_NUM_THREADS=1 python -m benchmarks.gallery [--rows 10000 100000 1000000]

The people are drawn: each has a direction, and two enrolled rows and one query that have a
similarity of about 0.8 with it, 0.64 with each other, as photos of one person have in ArcFace's
spaces. Recall is the share of queries whose best person is the one that the exact search finds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import psutil
from numpy.typing import NDArray

from facemodels.gallery.index import GalleryIndex, Match
from facemodels.gallery.rows import EnrolledFaces
from facemodels.text import markdown

_ROWS_EACH = 2  # rows of a person
_NEAR = 0.8  # similarity of a row with its person's direction


def drawn(rows: int, queries: int, dimension: int) -> tuple[EnrolledFaces, NDArray[np.float32]]:
    """Rows of people, and queries float32 (Q, D) of the first people."""
    rng = np.random.default_rng(1)
    people = rows // _ROWS_EACH
    directions = _unit(rng.standard_normal((people, dimension), np.float32))
    embedding = _near(np.repeat(directions, _ROWS_EACH, axis=0), rng)
    numbers = np.zeros(rows, np.float32)
    faces = EnrolledFaces(
        person=np.repeat(np.array([f"Person {p}" for p in range(people)], np.object_), _ROWS_EACH),
        source=np.full(rows, "", np.object_),
        box=np.zeros((rows, 4), np.float32),
        score=numbers,
        eyes=numbers,
        sharpness=numbers,
        enrolled=np.zeros(rows, "datetime64[s]"),
        system=np.full(rows, "", np.object_),
        embedding=embedding,
    )
    return faces, _near(directions[:queries], rng)


def _near(directions: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.standard_normal(directions.shape, np.float32)
    noise -= (noise * directions).sum(axis=1, keepdims=True) * directions
    near: NDArray[np.float32] = _NEAR * directions + (1 - _NEAR**2) ** 0.5 * _unit(noise)
    return near


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def measured(
    index: GalleryIndex, queries: NDArray[np.float32], wanted: list[str] | None
) -> tuple[dict[str, float], list[str]]:
    """Times of single searches in ms and the recall; and the best people."""
    found: list[Match] = []
    times = []
    for query in queries:
        start = time.perf_counter()
        found.append(index.search(query[None], top=5)[0][0])
        times.append((time.perf_counter() - start) * 1e3)
    best = [match.person for match in found]
    recall = np.mean([a == b for a, b in zip(best, wanted or best, strict=True)])
    p50, p95 = np.percentile(times, (50, 95))
    return {"p50 ms": float(p50), "p95 ms": float(p95), "recall": float(recall)}, best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--dimension", type=int, default=128)
    options = parser.parse_args()
    table = []
    for rows in options.rows:
        faces, queries = drawn(rows, options.queries, options.dimension)
        wanted = None
        for kind, exact in (("exact", rows), ("cells", 0)):
            before = psutil.Process().memory_info().rss
            start = time.perf_counter()
            index = GalleryIndex(faces, exact=exact)
            built = time.perf_counter() - start
            memory = (psutil.Process().memory_info().rss - before) / 1e6
            figures, best = measured(index, queries, wanted)
            wanted = wanted or best
            table.append({"rows": rows, "search": kind, "built s": built, "MB": memory, **figures})
            del index
    print(markdown(table))


if __name__ == "__main__":
    main()
