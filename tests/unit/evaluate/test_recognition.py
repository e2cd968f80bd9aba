"""The recognition protocol on faces of which each is one colour and the embedder its direction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facemodels.data.pairs import verification_pairs
from facemodels.data.splits import RecognitionSplit, save_group_names
from facemodels.evaluate import bootstrap
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.recognition import evaluate

GROUPS = ("north", "south")


class ColourEmbedder:
    """The mean colour of a face as a unit vector, about mid grey."""

    def embed(self, images: list[np.ndarray]) -> np.ndarray:
        colours = np.array([image.mean(axis=(0, 1)) for image in images]) - 127.5
        return (colours / np.linalg.norm(colours, axis=1, keepdims=True)).astype(np.float32)


def split(people: int, faces: int, *, first: int, seed: int) -> RecognitionSplit:
    rng = np.random.default_rng(seed)
    identities = np.repeat(np.arange(first, first + people), faces).astype(np.int32)
    colours = np.repeat(rng.uniform(30, 225, (people, 3)), faces, axis=0)
    colours = np.clip(colours + rng.normal(0, 12, colours.shape), 0, 255).astype(np.uint8)
    pairs = verification_pairs(identities, folds=3, per_fold=12, seed=seed)
    return RecognitionSplit(
        images=np.broadcast_to(colours[:, None, None], (len(colours), 8, 8, 3)).copy(),
        identities=identities,
        groups=(identities % 2).astype(np.int8),
        pairs=pairs.index,
        same=pairs.same,
        folds=pairs.fold,
        found=np.ones(len(identities), np.bool_),
        crop="centre112",
    )


def evaluated(folder: Path, people: int, faces: int = 4) -> Evaluation:
    split(9, 3, first=0, seed=1).save(folder / "val")
    split(people, faces, first=1000, seed=2).save(folder / "test")
    save_group_names(folder, GROUPS)
    return evaluate(ColourEmbedder(), folder)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluated(tmp_path_factory.mktemp("data"), people=24)


def test_every_figure_is_a_finite_float(evaluation: Evaluation) -> None:
    assert all(isinstance(value, float) for value in evaluation.metrics.values())
    assert np.isfinite(list(evaluation.metrics.values())).all()


def test_rates_over_all_pairs_stand_beside_the_ten_fold_figure(evaluation: Evaluation) -> None:
    # 24 people by 4 faces: 4,416 impostor pairs show an FMR of 6.8e-4, 48 strangers an FPIR of 0.0625.
    shown = {"accuracy", "fmr", "fnmr", "fnmr_at_fmr_1e-2", "fnmr_at_fmr_1e-3", "rank1"}
    assert shown <= evaluation.metrics.keys()
    assert "fnir_at_fpir_1e-1" in evaluation.metrics
    assert evaluation.metrics["fnmr_at_fmr_1e-2"] <= evaluation.metrics["fnmr_at_fmr_1e-3"]


def test_a_rate_that_the_trials_cannot_show_is_noted_and_not_reported(
    evaluation: Evaluation,
) -> None:
    assert not {"fnmr_at_fmr_1e-4", "fnir_at_fpir_1e-2"} & evaluation.metrics.keys()
    notes = "\n".join(evaluation.notes)
    assert "FMR of 1e-4 is left out: 4416 impostor pairs show no FMR below 0.00068" in notes
    assert "FPIR of 1e-2 is left out: 48 nonmated searches show no FPIR below 0.062" in notes
    assert evaluation.as_json()["notes"] == list(evaluation.notes)


def test_groups_have_rates_of_their_own_pairs_and_their_extremes_are_metrics(
    evaluation: Evaluation,
) -> None:
    assert {name: group["genuine_pairs"] for name, group in evaluation.groups.items()} == {
        "north": 72, "south": 72,
    }  # fmt: skip
    worst = max(group["fmr"] for group in evaluation.groups.values())
    assert evaluation.metrics["fmr_group_max"] == worst
    assert evaluation.metrics["fmr_group_max_over_gm"] >= 1
    assert evaluation.metrics["fnmr_group_max_over_gm"] >= 1


def test_the_curves_are_roc_and_det(evaluation: Evaluation) -> None:
    assert set(evaluation.curves) == {"roc", "det"}
    assert evaluation.curves["det"][0]["fmr"] == pytest.approx(3 / 4416)
    assert evaluation.curves["det"][-1] == {"fmr": 1.0, "fnmr": 0.0}


def test_intervals_hold_the_figure_and_draw_people(evaluation: Evaluation) -> None:
    assert set(evaluation.resampled) == {
        "accuracy", "accuracy_at_threshold", "rank1", "fnmr_at_fmr_1e-2", "fnmr_at_fmr_1e-3",
    }  # fmt: skip
    assert evaluation.resampled["rank1"].units == 24 * 3
    rank1 = bootstrap.interval_of(evaluation.resampled["rank1"], resamples=200, seed=1)
    assert rank1.low < rank1.estimate == evaluation.metrics["rank1"] <= rank1.high
    metric = evaluation.resampled["fnmr_at_fmr_1e-2"]
    assert metric.units == 24
    found = bootstrap.interval_of(metric, resamples=200, seed=1)
    assert found.estimate == evaluation.metrics["fnmr_at_fmr_1e-2"]
    assert found.low <= found.estimate <= found.high
    assert found.low < found.high


def test_the_stamp_names_the_pair_list_and_the_crop(evaluation: Evaluation) -> None:
    assert evaluation.stamp["crop"] == "centre112"
    assert evaluation.stamp["pairs"].startswith("sha256:")


def test_faces_that_were_not_found_match_nobody(tmp_path: Path) -> None:
    whole = evaluated(tmp_path, people=24)
    test = split(24, 4, first=1000, seed=2)
    replace(test, found=np.arange(len(test)) % 4 != 3).save(tmp_path / "test")
    partly = evaluate(ColourEmbedder(), tmp_path)

    # Half of the six genuine pairs of four faces have the face that was not found.
    assert partly.metrics["fnmr"] >= 0.5 > whole.metrics["fnmr"]
    assert partly.metrics["fmr"] < whole.metrics["fmr"]
    assert partly.metrics["rank1"] <= 2 / 3
    assert partly.metrics["fnir_at_fpir_1e-1"] >= 1 / 3


def test_too_few_people_give_no_interval(tmp_path: Path) -> None:
    few = evaluated(tmp_path, people=12, faces=8)
    assert "fnmr_at_fmr_1e-2" in few.metrics
    assert set(few.resampled) == {"accuracy", "accuracy_at_threshold", "rank1"}
    assert "intervals need 20 people with two faces, 12 are there" in "\n".join(few.notes)


def test_of_very_many_faces_scores_are_counted_and_the_same_rates_reported(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facemodels.evaluate.recognition._MOST_SCORED", 1)
    counted = evaluated(tmp_path, people=24)
    for name in ("accuracy", "rank1", "fmr", "fnmr", "fnmr_at_fmr_1e-2", "fnmr_at_fmr_1e-3"):
        assert counted.metrics[name] == pytest.approx(evaluation.metrics[name], abs=0.01)
    assert "fmr_group_max" not in counted.metrics
    assert len([note for note in counted.notes if "faces" in note]) >= 2
