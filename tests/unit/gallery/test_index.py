"""The search: the most alike people, each once, exact or nearly so."""

from __future__ import annotations

import numpy as np
import pytest

from facemodels.errors import InputError
from facemodels.gallery.index import GalleryIndex
from facemodels.gallery.rows import EnrolledFaces, no_faces


def rows_of(people: list[str | None], embeddings: np.ndarray) -> EnrolledFaces:
    count = len(people)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return EnrolledFaces(
        person=np.array(people, np.object_),
        source=np.array([f"{row:064x}" for row in range(count)], np.object_),
        box=np.zeros((count, 4), np.float32),
        score=np.ones(count, np.float32),
        eyes=np.ones(count, np.float32),
        sharpness=np.ones(count, np.float32),
        enrolled=np.zeros(count, "datetime64[s]"),
        system=np.array(["sys"] * count, np.object_),
        embedding=unit.astype(np.float32),
    )


@pytest.fixture(scope="module")
def rows() -> EnrolledFaces:
    rng = np.random.default_rng(1)
    names = [f"P{number:02}" for number in rng.integers(0, 30, 300)]
    return rows_of(
        [None if row % 10 == 0 else name for row, name in enumerate(names)],
        rng.normal(size=(300, 16)),
    )


def test_the_people_are_those_that_comparing_everything_gives(rows: EnrolledFaces) -> None:
    queries = rows_of([""] * 20, np.random.default_rng(2).normal(size=(20, 16))).embedding
    for query, found in zip(queries, GalleryIndex(rows).search(queries, top=30), strict=True):
        best: dict[str, float] = {}
        for person, similarity in zip(rows.person, rows.embedding @ query, strict=True):
            if person is not None:
                best[person] = max(best.get(person, -1), float(similarity))
        wanted = sorted(best.items(), key=lambda item: -item[1])
        assert [match.person for match in found] == [person for person, _ in wanted]
        assert [match.similarity for match in found] == pytest.approx(
            [s for _, s in wanted], abs=1e-6
        )


def test_fewer_people_are_the_first_of_more(rows: EnrolledFaces) -> None:
    index = GalleryIndex(rows)
    many, few = (index.search(rows.embedding[:5], top=top) for top in (30, 3))
    assert [found[:3] for found in many] == few


def test_an_answer_does_not_depend_on_what_else_is_asked(rows: EnrolledFaces) -> None:
    index = GalleryIndex(rows)
    together = index.search(rows.embedding[:64], top=2)
    assert together == [index.search(one[None], top=2)[0] for one in rows.embedding[:64]]


def test_cells_find_nearly_everybody(rows: EnrolledFaces) -> None:
    queries = rows.embedding[rows.named]
    exact = GalleryIndex(rows).search(queries)
    in_cells = GalleryIndex(rows, exact=100).search(queries)
    alike = [one[0].person == other[0].person for one, other in zip(exact, in_cells, strict=True)]
    assert np.mean(alike) >= 0.95


def test_nobody_is_found_in_a_gallery_without_named_faces() -> None:
    query = np.ones((1, 16), np.float32) / 4
    assert GalleryIndex(no_faces(16)).search(query, top=3) == [[]]
    assert GalleryIndex(rows_of([None], np.ones((1, 16)))).search(query) == [[]]


def test_embeddings_of_another_length_are_refused(rows: EnrolledFaces) -> None:
    with pytest.raises(InputError, match="length 16"):
        GalleryIndex(rows).search(np.ones((1, 8), np.float32))
