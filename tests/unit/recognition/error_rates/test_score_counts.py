from __future__ import annotations

import numpy as np
import pytest

from facemodels.errors import DataError
from facemodels.recognition.error_rates import score_counts
from facemodels.recognition.error_rates.all_pairs import all_pairs, fnmr_at_fmr, rates_at
from facemodels.recognition.error_rates.score_counts import ScoreCounts, count_scores


def faces(people: int, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(people, 1, 16)) + rng.normal(size=(people, each, 16))
    vectors = vectors.reshape(-1, 16) / np.linalg.norm(vectors.reshape(-1, 16), axis=1)[:, None]
    return vectors.astype(np.float32), np.repeat(np.arange(people), each)


@pytest.mark.parametrize("order", ["by person", "mixed"])
@pytest.mark.parametrize("other", [False, True], ids=["one model", "another's gallery"])
def test_counts_give_the_rates_of_all_scores_at_every_edge(
    order: str, other: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_counts, "_TILE", 37)
    vectors, people = faces(60, 4, seed=1)
    if order == "mixed":
        people = np.random.default_rng(2).permutation(people)
    found = np.random.default_rng(3).random(len(people)) > 0.05
    gallery = faces(60, 4, seed=1 if not other else 4)[0] if other else None
    counted: list[int] = []
    counts = count_scores(vectors, people, found, gallery=gallery, advance=counted.append)
    scored = all_pairs(vectors, people, found, gallery=gallery)
    assert sum(counted) == 240 * 239 // 2 == counts.n_impostor + counts.genuine.sum()
    assert counts.least_fmr == scored.least_fmr
    for threshold in np.linspace(-1, 1, 41):
        ours = counts.rates_at(threshold)
        theirs = rates_at(scored, ours.threshold)
        assert ours == theirs
        assert 0 <= ours.threshold - threshold < 2**-18
    for fmr in (1.0, 0.3, 1e-2, 1e-3):
        ours, theirs = counts.fnmr_at_fmr(fmr), fnmr_at_fmr(scored, fmr)
        assert ours.fmr <= fmr
        assert ours.fnmr == pytest.approx(theirs.fnmr, abs=1 / counts.genuine.sum())
    assert np.all(np.diff(counts.det(20).fnmr) <= 0)


def test_tiles_do_not_change_the_counts_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(tile: int) -> ScoreCounts:
        monkeypatch.setattr(score_counts, "_TILE", tile)
        return count_scores(*faces(30, 3, seed=5))

    assert counted(7).rates_at(0.25) == counted(1000).rates_at(0.25)


def test_what_all_pairs_refuses_is_refused() -> None:
    vectors, people = faces(5, 2, seed=6)
    with pytest.raises(DataError, match="unit length"):
        count_scores(2 * vectors, people)
    with pytest.raises(DataError, match="0 impostor pairs"):
        count_scores(vectors, np.zeros(10, int))
