"""The people of a gallery that are most alike to a face, by faiss.

Up to a million rows every one is compared (`IndexFlatIP`): the answer is exact. Beyond, rows are
in cells around centroids, and the nearest cells alone are compared (`IndexIVFFlat`; Jégou, Douze,
Schmid, "Product quantization for nearest neighbor search", TPAMI 2011, without the quantization).
`benchmarks/gallery.py` measures recall and time of both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import InputError
from facemodels.gallery.rows import EnrolledFaces

EXACT = 1_000_000  # rows
_CELLS = 4  # times the root of the number of rows, as faiss's guidelines have it
_PROBED = 8  # a query is compared with one cell in so many
_POINTS = 40  # for each centroid while they are found; faiss warns below 39


class Match(NamedTuple):
    """A person of a gallery, and how alike the most alike of the enrolled faces is.

    Attributes:
        person: the name.
        similarity: cosine, -1..1.
    """

    person: str
    similarity: float


class GalleryIndex:
    """Searches the named faces of a gallery; those that are marked as nobody are not in it.

    Args:
        rows: the faces.
        exact: up to this many rows the search is exact.
    """

    def __init__(self, rows: EnrolledFaces, *, exact: int = EXACT) -> None:
        known = rows.take(rows.named)
        names, self._person = np.unique(known.person.astype(np.str_), return_inverse=True)
        self.people: tuple[str, ...] = tuple(names.tolist())
        self.dimension: int = rows.embedding.shape[1]
        # The best `top` people are among so many rows, even if all others' rows come first.
        self._most_rows = int(np.bincount(self._person).max()) if len(known) else 0
        vectors = np.ascontiguousarray(known.embedding, np.float32)
        self._index = _index(vectors, is_exact=len(known) <= exact)

    def __len__(self) -> int:
        return len(self._person)

    def search(self, embeddings: NDArray[np.float32], top: int = 1) -> list[list[Match]]:
        """Find the people that are most alike, best first, each once with the best row.

        Each embedding is searched by itself, so that no answer depends on what else is asked.

        Args:
            embeddings: float32 (Q, D), of length one.
            top: most people for each embedding, 1 or more.

        Raises:
            InputError: the embeddings are of another length than those of the gallery.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dimension:
            raise InputError(
                f"embeddings of shape {embeddings.shape} cannot be searched in a gallery whose "
                f"embeddings have the length {self.dimension}."
            )
        count = min(len(self), (top - 1) * self._most_rows + 1)
        return [self._nearest(one, count, top) for one in embeddings]

    def _nearest(self, embedding: NDArray[np.float32], count: int, top: int) -> list[Match]:
        if not count:
            return []
        query = np.ascontiguousarray(embedding, np.float32)[None]
        similarities, rows = self._index.search(query, count)
        best: dict[int, float] = {}
        for similarity, row in zip(similarities[0].tolist(), rows[0].tolist(), strict=True):
            if row >= 0:  # faiss gives -1 where the compared cells have fewer rows
                best.setdefault(int(self._person[row]), similarity)
        return [Match(self.people[person], best[person]) for person in list(best)[:top]]


def _index(vectors: NDArray[np.float32], *, is_exact: bool) -> Any:
    import faiss

    dimension = vectors.shape[1]
    if is_exact:
        index: Any = faiss.IndexFlatIP(dimension)
    else:
        cells = max(1, min(int(_CELLS * len(vectors) ** 0.5), len(vectors) // _POINTS))
        index = faiss.index_factory(dimension, f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
        index.cp.max_points_per_centroid = _POINTS
        index.nprobe = max(1, cells // _PROBED)
        index.train(vectors)
    index.add(vectors)
    return index
