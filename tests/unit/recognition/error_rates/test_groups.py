import numpy as np
import pytest

from facemodels.errors import DataError
from facemodels.recognition.error_rates import groups as by
from facemodels.recognition.error_rates.all_pairs import all_pairs


def test_accuracy_by_group_takes_pairs_within_a_group():
    groups = np.array([[0, 0], [0, 0], [1, 1], [0, 1], [-1, -1], [2, -1]], np.int8)
    assert by.accuracy_by_group([True, False, True, False, False, False], groups) == {
        0: by.GroupAccuracy(accuracy=0.5, n_pairs=2),
        1: by.GroupAccuracy(accuracy=1.0, n_pairs=1),
    }
    assert by.accuracy_by_group([], np.zeros((0, 2), np.int8)) == {}
    with pytest.raises(DataError, match="groups of shape"):
        by.accuracy_by_group([True], [0])


def faces(seed: int = 0):
    """Unit embeddings of 18 people by 4 faces, and the group of each face."""
    rng = np.random.default_rng(seed)
    identities = np.repeat(np.arange(18), 4)
    group = np.repeat(np.arange(18) % 4 - 1, 4).astype(np.int8)  # -1: no group
    embeddings = np.repeat(rng.normal(size=(18, 6)), 4, axis=0) + rng.normal(size=(72, 6))
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), identities, group


def test_errors_by_group_agree_with_a_loop_over_the_pairs_of_each_group():
    embeddings, identities, group = faces()
    found = by.errors_by_group(all_pairs(embeddings, identities), group, 0.3)

    assert list(found) == [0, 1, 2]
    for number, errors in found.items():
        genuine, impostor = [], []
        members = np.flatnonzero(group == number)
        for place, i in enumerate(members):
            for j in members[place + 1 :]:
                score = float(embeddings[i] @ embeddings[j])
                (genuine if identities[i] == identities[j] else impostor).append(score)
        assert (errors.n_genuine, errors.n_impostor) == (len(genuine), len(impostor))
        assert errors.fmr == np.mean(np.array(impostor) >= 0.3)
        assert errors.fnmr == np.mean(np.array(genuine) < 0.3)


def test_a_group_without_pairs_of_both_kinds_is_left_out():
    embeddings, identities, group = faces()
    group[:] = -1
    group[:4] = 5  # one person: no impostor pair
    assert by.errors_by_group(all_pairs(embeddings, identities), group, 0.3) == {}


def errors(fmrs, fnmrs, n=1000):
    return {
        number: by.GroupErrors(fmr, fnmr, n, n)
        for number, (fmr, fnmr) in enumerate(zip(fmrs, fnmrs, strict=True))
    }


def test_differentials_are_the_maximum_and_its_ratio_to_the_geometric_mean():
    found = errors([0.01, 0.02, 0.04], [0.1, 0.1, 0.1])
    fmr, fnmr = by.fmr_differential(found), by.fnmr_differential(found)

    assert fmr.maximum == 0.04
    assert fmr.over_geometric_mean == pytest.approx(0.04 / (0.01 * 0.02 * 0.04) ** (1 / 3))
    assert (fnmr.maximum, fnmr.over_geometric_mean) == (0.1, pytest.approx(1))


def test_a_group_without_an_error_counts_as_half_an_error():
    fmr = by.fmr_differential(errors([0.0, 0.002], [0.1, 0.1]))
    assert fmr.maximum == 0.002
    assert fmr.over_geometric_mean == pytest.approx(0.002 / (0.0005 * 0.002) ** 0.5)
    assert by.fmr_differential(errors([0.0, 0.0], [0, 0])).over_geometric_mean == pytest.approx(1)


def test_one_group_has_no_differential():
    with pytest.raises(DataError, match="needs two"):
        by.fmr_differential(errors([0.1], [0.1]))


def test_groups_of_another_length_are_refused():
    embeddings, identities, group = faces()
    with pytest.raises(DataError, match="groups of shape"):
        by.errors_by_group(all_pairs(embeddings, identities), group[:5], 0.3)
