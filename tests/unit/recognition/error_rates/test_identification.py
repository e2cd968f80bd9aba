import numpy as np
import pytest

from facemodels.errors import DataError, InputError
from facemodels.recognition.error_rates import identification


def test_rank1_follows_the_protocol():
    unit = np.eye(3)
    near = np.array([0.8, 0.6, 0.0])
    embeddings = np.array([unit[0], unit[2], unit[1], near, near, unit[1]])
    # Person 5: faces 0 and 3 (found); 7: faces 2, 4 (nearer to 5), 5 (found); 9 has one face.
    result = identification.rank1(embeddings, [5, 9, 7, 5, 7, 7])

    np.testing.assert_array_equal(result.probes, [3, 4, 5])
    np.testing.assert_array_equal(result.correct, [True, False, True])
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.n_people == 2


def test_rank1_agrees_with_a_plain_loop(monkeypatch):
    monkeypatch.setattr(identification, "_PROBES_AT_ONCE", 7)
    rng = np.random.default_rng(0)
    identities = rng.integers(0, 30, 90) * 11
    embeddings = rng.normal(size=(400, 6))[identities] + rng.normal(size=(90, 6))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)

    gallery, probes = {}, []
    for index, person in enumerate(identities):
        if person in gallery:
            probes.append(index)
        elif (identities == person).sum() > 1:
            gallery[person] = index
    right = [
        max(gallery, key=lambda person: float(embeddings[p] @ embeddings[gallery[person]]))
        == identities[p]
        for p in probes
    ]
    result = identification.rank1(embeddings, identities)
    np.testing.assert_array_equal(result.probes, probes)
    np.testing.assert_array_equal(result.correct, right)
    assert 0 < result.accuracy < 1


def test_rank1_gives_a_constant_model_nothing():
    assert identification.rank1(np.tile([1.0, 0.0], (6, 1)), [0, 0, 1, 1, 2, 2]).accuracy == 0


@pytest.mark.parametrize(
    ("embeddings", "identities", "message"),
    [
        (np.eye(4), [0, 0, 1, 2], "1 people have two images"),
        (np.zeros((0, 4)), [], "0 people"),
        (2 * np.eye(4), [0, 0, 1, 1], "not of unit length"),
        (np.full((4, 4), np.nan), [0, 0, 1, 1], "not of unit length"),
        (np.eye(4), [0, 0, 1], "with identities"),
    ],
)
def test_rank1_refuses(embeddings, identities, message):
    with pytest.raises(DataError, match=message):
        identification.rank1(embeddings, identities)


def people(n_people: int, n_faces: int, seed: int = 0):
    """Unit embeddings around a centre for each person."""
    rng = np.random.default_rng(seed)
    identities = np.repeat(np.arange(n_people) * 3, n_faces)
    embeddings = np.repeat(rng.normal(size=(n_people, 8)), n_faces, axis=0)
    embeddings += rng.normal(0, 0.7, embeddings.shape)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), identities


def searches_by_a_plain_loop(embeddings, identities):
    """Mated (own similarity or -inf) and nonmated searches, one at a time."""
    numbers = sorted({int(p) for p in identities if (identities == p).sum() > 1})
    gallery = {p: int(np.flatnonzero(identities == p)[0]) for p in numbers[::2]}
    mated, nonmated = [], []
    for index, person in enumerate(identities):
        scores = {p: float(embeddings[index] @ embeddings[g]) for p, g in gallery.items()}
        if int(person) not in gallery:
            nonmated.append(max(scores.values()))
        elif index != gallery[int(person)]:
            own = scores.pop(int(person))
            mated.append(own if own > max(scores.values()) else -np.inf)
    return np.array(mated), np.array(nonmated)


def test_an_open_set_agrees_with_a_plain_loop(monkeypatch):
    monkeypatch.setattr(identification, "_PROBES_AT_ONCE", 7)
    embeddings, identities = people(15, 4)
    order = np.random.default_rng(1).permutation(len(identities))
    embeddings, identities = embeddings[order], identities[order]
    found = identification.open_set(embeddings, identities)
    mated, nonmated = searches_by_a_plain_loop(embeddings, identities)

    assert found.enrolled == 8
    np.testing.assert_allclose(found.mated, mated, atol=1e-12)
    np.testing.assert_allclose(found.nonmated, nonmated, atol=1e-12)
    assert np.isinf(mated).any()
    assert np.isfinite(mated).any()


@pytest.mark.parametrize("fpir", [0.15, 0.3, 0.5, 1.0])
def test_fnir_at_fpir_agrees_with_trying_all_thresholds(fpir):
    searches = identification.open_set(*people(15, 4))
    levels = np.concatenate([searches.mated[np.isfinite(searches.mated)], searches.nonmated])
    fnirs = [
        float((searches.mated < t).mean())
        for t in [*levels, 2.0]
        if (searches.nonmated >= t).mean() <= fpir
    ]
    point = identification.fnir_at_fpir(searches, fpir)

    assert point.fnir == min(fnirs)
    assert point.fpir <= fpir
    assert point.fnir == (searches.mated < point.threshold).mean()


def test_an_fpir_that_the_searches_cannot_show_is_refused():
    searches = identification.open_set(*people(15, 4))  # 28 nonmated searches
    with pytest.raises(InputError, match="cannot be shown by 28 trials"):
        identification.fnir_at_fpir(searches, 0.1)


def test_a_constant_model_identifies_nobody_in_an_open_set():
    searches = identification.open_set(np.tile([1.0, 0.0], (30, 1)), np.repeat(np.arange(10), 3))
    assert identification.fnir_at_fpir(searches, 0.5).fnir == 1


def test_an_open_set_needs_two_enrolled_people_and_a_stranger():
    embeddings, identities = people(2, 3)
    with pytest.raises(DataError, match="1 of 2 people can be enrolled"):
        identification.open_set(embeddings, identities)


def test_another_models_gallery_is_searched_with_the_own_faces():
    embeddings, identities = people(20, 4)
    noise = np.random.default_rng(1).normal(0, 0.3, embeddings.shape)
    gallery = embeddings + noise
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    closed = identification.rank1(embeddings, identities, gallery=gallery)
    first = np.unique(identities, return_index=True)[1]
    for probe, right in zip(closed.probes, closed.correct, strict=True):
        scores = [float(embeddings[probe] @ gallery[face]) for face in first]
        assert right == (identities[first[int(np.argmax(scores))]] == identities[probe])
    searches = identification.open_set(embeddings, identities, gallery=gallery)
    enrolled = gallery[first[::2]]
    strangers = ~np.isin(identities, identities[first[::2]])
    np.testing.assert_allclose(
        searches.nonmated, (embeddings[strangers] @ enrolled.T).max(axis=1), atol=1e-12
    )
