"""Whether new faces find old ones, on models whose embedding is a turned colour."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facemodels.data.splits import save_group_names
from facemodels.errors import GateError, InputError
from facemodels.evaluate.compatibility import (
    Compatibility,
    CompatibilityRow,
    claims_space_of,
    measure_compatibility,
    require_compatible,
)
from facemodels.evaluate.measurements import Measurements
from facemodels.params import Compare
from facemodels.recognition.batches import pair_scores
from facemodels.recognition.metrics import kfold_accuracy

from .test_recognition import GROUPS, ColourEmbedder, split

SETTINGS = Compare(baselines={}, resamples=50, confidence=0.95, seed=1, threads=1, warmup=0, runs=2)
OTHER_CROP = "dlib150"


class TurnedEmbedder(ColourEmbedder):
    """The direction of a colour, with its channels in another order.

    What `share` leaves of the length is one number more, the same for every face.
    """

    def __init__(self, order: tuple[int, ...], crop_name: str, share: float = 1) -> None:
        self.order, self.crop_name, self.share = list(order), crop_name, share

    def embed(self, images: list[np.ndarray]) -> np.ndarray:
        colours = super().embed(images)[:, self.order] * self.share
        rest = np.full((len(colours), 1), np.sqrt(1 - self.share**2))
        return np.concatenate([colours, rest], axis=1).astype(np.float32)


@dataclass
class Coloured:
    """A package of an embedder."""

    id: str
    order: tuple[int, ...] = (0, 1, 2)
    space: str | None = "recognition-colour-0"
    crop: str = "centre112"
    task: str = "recognition"
    share: float = 1
    metadata: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.metadata = {
            "embedding_space": self.space,
            "checksum": f"sha256:{self.id}",
            "output_shape": [len(self.order) + 1],
        }

    def predictor(self, **_: Any) -> TurnedEmbedder:
        return TurnedEmbedder(self.order, self.crop, self.share)


OLD, SAME, TURNED = Coloured("old"), Coloured("same"), Coloured("turned", (2, 0, 1))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measurements:
    folder = tmp_path_factory.mktemp("data")
    for name, people, first in (("val", 9, 0), ("test", 24, 1000)):
        faces = split(people, 4, first=first, seed=1)
        faces.others[OTHER_CROP] = 255 - faces.images
        faces.save(folder / name)
    save_group_names(folder, GROUPS)
    return Measurements(folder, SETTINGS)


def test_a_model_that_gives_the_old_embeddings_reaches_the_old_figures(measured) -> None:
    found = measure_compatibility(OLD, SAME, measured)
    assert found.passed
    names = [row.metric for row in found.rows]
    assert names[0] == "accuracy"
    assert {"rank1", "fnmr_at_fmr_1e-2", "fnir_at_fpir_1e-1", "threshold"} < set(names)
    for row in found.rows:
        assert row.old_old == row.new_new == row.new_old
        assert row.low in (0, None)
    require_compatible(found)


def test_a_model_that_is_as_good_in_a_space_of_its_own_is_refused_with_the_figures(
    measured,
) -> None:
    found = measure_compatibility(OLD, TURNED, measured)
    accuracy = found.rows[0]
    assert accuracy.new_new == accuracy.old_old > accuracy.new_old + 0.1
    assert accuracy.high < 0
    with pytest.raises(GateError, match=rf"turned claims .* old.*{accuracy.new_old:.4f}") as error:
        require_compatible(found)
    assert "train.losses.influence" in str(error.value.remedy)


def test_a_model_that_is_right_at_a_threshold_of_its_own_alone_is_refused(measured) -> None:
    # All similarities of new/old are those of old/old times 0.6.
    found = measure_compatibility(OLD, Coloured("weaker", share=0.6), measured)
    accuracy, at_threshold = found.gated
    assert accuracy.new_old == accuracy.old_old
    assert at_threshold.new_old < at_threshold.old_old - 0.1
    assert not found.passed


def test_the_first_face_of_a_pair_is_the_new_models_and_the_second_the_old_ones(measured) -> None:
    found = measure_compatibility(OLD, TURNED, measured)
    test = split(24, 4, first=1000, seed=1)
    new, old = (model.predictor().embed(list(test.images)) for model in (TURNED, OLD))
    scores = [float(new[i] @ old[j]) for i, j in test.pairs]
    assert found.rows[0].new_old == kfold_accuracy(scores, test.same, test.folds).mean
    np.testing.assert_allclose(pair_scores(new, test.pairs, gallery=old), scores, atol=1e-6)


def test_the_rates_of_new_faces_are_at_the_threshold_that_the_old_model_had(measured) -> None:
    found = {row.metric: row for row in measure_compatibility(OLD, TURNED, measured).rows}
    test = split(24, 4, first=1000, seed=1)
    new, old = (model.predictor().embed(list(test.images)) for model in (TURNED, OLD))
    threshold = found["threshold"].old_old
    assert found["threshold"].new_old != threshold
    accepted = [
        new[i] @ old[j] >= threshold
        for i, j in combinations(range(len(test)), 2)
        if test.identities[i] == test.identities[j]
    ]
    assert found["fnmr"].new_old == pytest.approx(1 - np.mean(accepted))


def test_each_model_takes_its_own_crop(measured) -> None:
    # The other crop shows the opposite colours: in its own crop the model embeds them opposite.
    other = Coloured("other", crop=OTHER_CROP)
    found = measure_compatibility(OLD, other, measured)
    assert found.rows[0].new_new == found.rows[0].old_old
    assert found.rows[0].new_old < 0.7


def test_a_claim_is_one_space_of_other_weights() -> None:
    assert claims_space_of(OLD, TURNED)
    assert not claims_space_of(OLD, Coloured("own", space="recognition-colour-1"))
    assert not claims_space_of(OLD, Coloured("old"))  # the same weights in another package
    assert not claims_space_of(Coloured("a", space=None), Coloured("b", space=None))
    assert not claims_space_of(Coloured("a", task="system"), Coloured("b", task="system"))


def test_embeddings_of_another_size_and_other_tasks_are_refused(measured) -> None:
    with pytest.raises(InputError, match="neither can be searched"):
        measure_compatibility(OLD, Coloured("short", (0, 1)), measured)
    with pytest.raises(InputError, match="has no embeddings"):
        measure_compatibility(OLD, Coloured("boxes", task="detection"), measured)


@pytest.mark.parametrize(("low", "passed"), [(-0.01, True), (-0.0101, False), (0.02, True)])
def test_the_low_end_of_the_interval_is_held_against_the_margin(low: float, passed: bool) -> None:
    good, judged = (
        CompatibilityRow(name, 0.9, 0.95, 0.9 + end + 0.01, end, end + 0.02)
        for name, end in (("accuracy", 0.0), ("accuracy_at_threshold", low))
    )
    bad = CompatibilityRow("fnmr_at_fmr_1e-3", 0.1, 0.05, 0.5, 0.3, 0.5)  # to be read, not judged
    found = Compatibility("old", "new", (good, judged, bad), 0.01)
    assert found.passed is found.as_json()["passed"] is passed
    assert ("does not reach" in found.verdict()) is not passed
    assert not replace(found, rows=(replace(good, low=None), judged)).passed


def test_a_report_has_the_three_measurements(measured, tmp_path: Path) -> None:
    text = measure_compatibility(OLD, TURNED, measured).table("95%")
    for word in ("old/old", "new/new", "new/old", "95% interval", "rank1"):
        assert word in text
