from itertools import combinations

import numpy as np
import pytest

from facemodels.errors import DataError, InputError
from facemodels.recognition import metrics
from facemodels.recognition.error_rates import all_pairs as ap


def people(n_people: int = 30, n_faces: int = 4, seed: int = 0, levels: int = 0):
    """Unit embeddings of people; `levels` makes equal embeddings, so equal scores, common."""
    rng = np.random.default_rng(seed)
    identities = np.repeat(np.arange(n_people) * 5, n_faces)
    embeddings = np.repeat(rng.normal(size=(n_people, 6)), n_faces, axis=0)
    embeddings += rng.normal(0, 0.8, embeddings.shape)
    if levels:
        embeddings = np.round(embeddings * levels) / levels
        embeddings[(embeddings == 0).all(axis=1)] = 1
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    order = rng.permutation(len(identities))
    return embeddings[order], identities[order]


def listed(embeddings, identities):
    """Score and kind of every pair, by two loops."""
    pairs = list(combinations(range(len(identities)), 2))
    scores = np.array([float(embeddings[i] @ embeddings[j]) for i, j in pairs])
    return scores, np.array([identities[i] == identities[j] for i, j in pairs])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(ap, "_SIMILARITIES_AT_ONCE", 700)  # several blocks of a few rows


@pytest.mark.parametrize("seed", range(3))
def test_every_pair_is_scored_once(seed):
    embeddings, identities = people(seed=seed)
    scores, same = listed(embeddings, identities)
    pairs = ap.all_pairs(embeddings, identities)

    assert pairs.n_impostor == len(pairs.impostor) == (~same).sum()
    np.testing.assert_allclose(pairs.genuine, np.sort(scores[same])[::-1], atol=1e-12)
    np.testing.assert_allclose(pairs.impostor, np.sort(scores[~same])[::-1], atol=1e-12)
    for got, faces in (
        (pairs.genuine, pairs.genuine_faces),
        (pairs.impostor, pairs.impostor_faces),
    ):
        expected = np.einsum("pd,pd->p", embeddings[faces[:, 0]], embeddings[faces[:, 1]])
        np.testing.assert_allclose(got, expected, atol=1e-12)
    assert np.all(identities[pairs.genuine_faces[:, 0]] == identities[pairs.genuine_faces[:, 1]])


def test_with_a_gallery_the_second_face_of_a_pair_is_another_models():
    embeddings, identities = people()
    gallery = embeddings[:, ::-1]
    listed_pairs = list(combinations(range(len(identities)), 2))
    scores = np.array([float(embeddings[i] @ gallery[j]) for i, j in listed_pairs])
    same = np.array([identities[i] == identities[j] for i, j in listed_pairs])
    pairs = ap.all_pairs(embeddings, identities, gallery=gallery)

    np.testing.assert_allclose(pairs.genuine, np.sort(scores[same])[::-1], atol=1e-12)
    np.testing.assert_allclose(pairs.impostor, np.sort(scores[~same])[::-1], atol=1e-12)


def test_800_images_of_100_people_make_2800_genuine_and_316800_impostor_pairs():
    embeddings, identities = people(100, 8)
    pairs = ap.all_pairs(embeddings, identities)
    assert (len(pairs.genuine), pairs.n_impostor) == (2_800, 316_800)
    assert pairs.least_fmr < 1e-5


@pytest.mark.parametrize("fmr", [0.002, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("levels", [0, 1])
def test_fnmr_at_fmr_agrees_with_the_roc_of_all_pairs(fmr, levels):
    embeddings, identities = people(levels=levels)
    pairs = ap.all_pairs(embeddings, identities)
    scores = np.concatenate([pairs.genuine, pairs.impostor])
    same = np.arange(len(scores)) < len(pairs.genuine)
    expected = metrics.tar_at_far(scores, same, fmr)
    found = ap.fnmr_at_fmr(pairs, fmr)

    assert found.fnmr == pytest.approx(1 - expected.tar, abs=1e-12)
    assert found.threshold == expected.threshold
    assert found.fmr <= fmr
    at = ap.rates_at(pairs, found.threshold)
    assert at.fnmr == found.fnmr
    assert at.fmr <= found.fmr


def test_fnmr_at_fmr_agrees_with_sklearn():
    from sklearn.metrics import roc_curve

    embeddings, identities = people()
    scores, same = listed(embeddings, identities)
    far, tar, _ = roc_curve(same, scores, drop_intermediate=False)
    pairs = ap.all_pairs(embeddings, identities)
    for fmr in (0.001, 0.01, 0.2):
        assert ap.fnmr_at_fmr(pairs, fmr).fnmr == pytest.approx(
            1 - tar[far <= fmr].max(), abs=1e-12
        )


@pytest.mark.parametrize("threshold", [-1.1, 0.0, 0.4, 1.1])
def test_rates_at_a_threshold_are_shares_of_all_pairs(threshold):
    embeddings, identities = people()
    scores, same = listed(embeddings, identities)
    found = ap.rates_at(ap.all_pairs(embeddings, identities), threshold)
    assert found.fmr == np.mean(scores[~same] >= threshold)
    assert found.fnmr == np.mean(scores[same] < threshold)


@pytest.mark.parametrize("seed", range(4))
def test_a_resample_equals_all_pairs_of_the_people_drawn(seed):
    embeddings, identities = people(12, 3, seed)
    pairs = ap.all_pairs(embeddings, identities)
    numbers = np.unique(identities)
    drawn = np.random.default_rng(seed).integers(0, 12, 12)
    scores, same = [], []
    for a, b in combinations(range(12), 2):  # impostor pairs of every two of those drawn
        for i in np.flatnonzero(identities == numbers[drawn[a]]):
            for j in np.flatnonzero(identities == numbers[drawn[b]]):
                if drawn[a] != drawn[b]:
                    scores.append(float(embeddings[i] @ embeddings[j]))
                    same.append(False)
    for a in drawn:
        for i, j in combinations(np.flatnonzero(identities == numbers[a]), 2):
            scores.append(float(embeddings[i] @ embeddings[j]))
            same.append(True)
    # Equal pairs by another order of sums must have equal scores.
    rounded = np.round(scores, 9)
    for fmr in (0.02, 0.1, 0.4):
        expected = metrics.tar_at_far(rounded, same, fmr)
        found = ap.fnmr_at_fmr(pairs, fmr, people=drawn)
        assert found.fnmr == pytest.approx(1 - expected.tar, abs=1e-12)


def test_a_resample_of_everyone_once_is_the_whole():
    pairs = ap.all_pairs(*people())
    everyone = np.random.default_rng(0).permutation(30)
    assert ap.fnmr_at_fmr(pairs, 0.01, people=everyone) == ap.fnmr_at_fmr(pairs, 0.01)


def test_a_resample_of_one_person_has_no_rate():
    pairs = ap.all_pairs(*people())
    assert np.isnan(ap.fnmr_at_fmr(pairs, 0.01, people=np.zeros(30, np.intp)).fnmr)


@pytest.mark.parametrize("levels", [0, 1])
def test_what_is_left_out_changes_no_figure(levels):
    embeddings, identities = people(levels=levels)
    whole = ap.all_pairs(embeddings, identities)
    part = ap.all_pairs(embeddings, identities, keep=1000)

    assert len(part.impostor) == 1000 < part.n_impostor == whole.n_impostor
    np.testing.assert_array_equal(part.impostor, whole.impostor[:1000])
    for fmr in (0.001, 0.01, 0.1):
        assert ap.fnmr_at_fmr(part, fmr) == ap.fnmr_at_fmr(whole, fmr)
    assert ap.rates_at(part, 0.9) == ap.rates_at(whole, 0.9)
    end = ap.det(part).fmr[-1]
    assert end == pytest.approx(1000 / whole.n_impostor, rel=1e-5)


def test_a_figure_that_needs_scores_left_out_is_refused():
    part = ap.all_pairs(*people(), keep=1000)
    with pytest.raises(InputError, match="needs more than the 1000 highest"):
        ap.fnmr_at_fmr(part, 0.5)
    with pytest.raises(InputError, match="only the 1000 highest"):
        ap.rates_at(part, -0.5)


def test_an_fmr_that_the_impostor_pairs_cannot_show_is_refused():
    pairs = ap.all_pairs(*people(10, 3))  # 405 impostor pairs
    assert pairs.least_fmr == pytest.approx(3 / 405)
    ap.fnmr_at_fmr(pairs, 3 / 405)
    with pytest.raises(InputError, match="cannot be shown by 405 trials"):
        ap.fnmr_at_fmr(pairs, 0.99 * 3 / 405)
    with pytest.raises(InputError, match=r"not in 0\.\.1"):
        ap.fnmr_at_fmr(pairs, 1.5)


def test_the_det_curve_falls_from_the_lowest_fmr_that_can_be_shown():
    pairs = ap.all_pairs(*people())
    curve = ap.det(pairs, 50)
    assert curve.fmr[0] == pytest.approx(pairs.least_fmr)
    assert curve.fmr[-1] == 1
    assert curve.fnmr[-1] == 0
    assert np.all(np.diff(curve.fnmr) <= 0)


def test_a_constant_model_matches_everyone_or_nobody():
    pairs = ap.all_pairs(np.tile([1.0, 0.0], (40, 1)), np.repeat(np.arange(10), 4))
    assert ap.fnmr_at_fmr(pairs, 0.5).fnmr == 1
    assert ap.rates_at(pairs, 0.5) == ap.ErrorRates(fmr=1, fnmr=0, threshold=0.5)


@pytest.mark.parametrize(
    ("embeddings", "identities", "message"),
    [
        (np.eye(3), [0, 1, 2], "0 genuine and 3 impostor"),
        (np.eye(3), [7, 7, 7], "3 genuine and 0 impostor"),
        (2 * np.eye(3), [0, 0, 1], "not of unit length"),
        (np.eye(3), [0, 0], "with identities"),
    ],
)
def test_faces_that_make_no_pairs_of_a_kind_are_refused(embeddings, identities, message):
    with pytest.raises(DataError, match=message):
        ap.all_pairs(embeddings, identities)
