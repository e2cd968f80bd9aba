from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facemodels.data.pairs import _Candidates, verification_pairs


@given(people=st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_the_pair_of_a_rank_is_that_of_a_list_of_all_pairs(people: list[int]) -> None:
    candidates = _Candidates(np.array(people, np.int32))
    listed = list(combinations(range(len(people)), 2))
    same = [pair for pair in listed if people[pair[0]] == people[pair[1]]]
    different = [pair for pair in listed if people[pair[0]] != people[pair[1]]]
    assert (candidates.same, candidates.different) == (len(same), len(different))
    if same:
        assert candidates.same_pairs(np.arange(len(same))).tolist() == [list(p) for p in same]
    if different:
        found = candidates.different_pairs(np.arange(len(different)))
        assert found.tolist() == [list(p) for p in different]


def test_pairs_of_a_million_images_are_drawn_without_a_list_of_all() -> None:
    people = np.repeat(np.arange(100_000, dtype=np.int32), 10)
    pairs = verification_pairs(people, folds=2, per_fold=50, seed=1)
    assert pairs.index.shape == (200, 2)
    assert ((people[pairs.index[:, 0]] == people[pairs.index[:, 1]]) == pairs.same).all()
    assert len(np.unique(pairs.index, axis=0)) == 200
