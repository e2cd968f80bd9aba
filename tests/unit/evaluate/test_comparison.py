from __future__ import annotations

from dataclasses import dataclass, field
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facemodels.data.splits import save_group_names
from facemodels.errors import InputError
from facemodels.evaluate.comparison import Row, compare_accuracy, interval, mcnemar, overall
from facemodels.evaluate.measurements import Measurements
from facemodels.params import Compare

from .test_recognition import GROUPS, ColourEmbedder, split

SETTINGS = Compare(baselines={}, resamples=20, confidence=0.9, seed=1, threads=1, warmup=0, runs=2)


class CroppedEmbedder(ColourEmbedder):
    """The mean colour of a face in a crop of its own."""

    def __init__(self, crop_name: str) -> None:
        self.crop_name = crop_name


@dataclass
class InCrop:
    """A package of an embedder that takes one crop."""

    crop: str
    task: str = "recognition"

    @property
    def id(self) -> str:
        return f"rec-{self.crop}"

    def predictor(self, **_: Any) -> ColourEmbedder:
        return CroppedEmbedder(self.crop)


@pytest.fixture(scope="module")
def in_two_crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, people, first in (("val", 9, 0), ("test", 24, 1000)):
        faces = split(people, 4, first=first, seed=1)
        faces.others["dlib150"] = 255 - faces.images
        faces.save(folder / name)
    save_group_names(folder, GROUPS)
    return folder


def test_models_of_different_crops_are_refused_before_they_are_measured() -> None:
    with pytest.raises(InputError, match="crop: centre112 → dlib150") as refused:
        compare_accuracy(
            InCrop("centre112"), InCrop("dlib150"), Measurements(Path("nowhere"), SETTINGS)
        )
    assert "--across-crops" in str(refused.value.remedy)


def test_models_are_compared_across_crops_where_it_is_asked_for(in_two_crops: Path) -> None:
    settings = SETTINGS.model_copy(update={"across_crops": True})
    models = InCrop("centre112"), InCrop("dlib150")
    rows = compare_accuracy(*models, Measurements(in_two_crops, settings))
    assert rows[0].metric == "accuracy"
    same = compare_accuracy(models[0], models[0], Measurements(in_two_crops, SETTINGS))
    assert all(row.difference == 0 for row in same)


@dataclass
class Counted(InCrop):
    """A package that counts how often it was opened."""

    opened: list[str] = field(default_factory=list)

    def predictor(self, **_: Any) -> ColourEmbedder:
        self.opened.append(self.crop)
        return super().predictor()


def test_a_model_is_opened_and_evaluated_once_for_all_that_it_is_compared_with(
    in_two_crops: Path,
) -> None:
    one, other = Counted("centre112"), Counted("centre112")  # of one id, and not the same
    measured = Measurements(in_two_crops, SETTINGS)
    for _ in range(2):
        compare_accuracy(one, other, measured)
        interval(one, measured)
    assert (one.opened, other.opened) == (["centre112"], ["centre112"])
    assert measured.evaluation(one) is measured.evaluation(one)
    assert measured.evaluation(one) is not measured.evaluation(other)


def test_accuracy_needs_data() -> None:
    with pytest.raises(InputError, match="needs data"):
        Measurements(None, SETTINGS).evaluation(InCrop("centre112"))


def row(metric: str, verdict: str) -> Row:
    return Row(metric, 1.0, 1.0, 0.0, None, None, verdict)


def test_accuracy_decides_whatever_the_rest_says() -> None:
    rows = [
        row("accuracy", "worse"),
        row("latency_p50_ms", "better"),
        row("file_size_mb", "better"),
    ]
    assert overall(rows) == "worse"


def test_without_a_difference_in_accuracy_the_rest_decides_if_it_agrees() -> None:
    same = row("nme", "no difference shown")
    faster, larger = row("latency_p50_ms", "better"), row("file_size_mb", "worse")
    assert overall([same, faster]) == "better"
    assert overall([same, faster, larger]) == "no difference shown"
    assert overall([same]) == "no difference shown"


def test_only_the_primary_metric_decides() -> None:
    other = Row("fnmr_at_fmr_1e-3", 0.1, 0.2, 0.1, 0.05, 0.15, "worse", primary=False)
    assert overall([row("accuracy", "no difference shown"), other]) == "no difference shown"
    assert overall([row("accuracy", "better"), other]) == "better"


@pytest.mark.parametrize(("one", "other"), [(0, 0), (3, 3), (2, 9), (30, 12), (0, 6)])
def test_mcnemar_is_the_binomial_tail_of_the_pairs_that_one_model_alone_judges_right(
    one: int, other: int
) -> None:
    first = np.repeat([True, False, True, False], [one, other, 50, 7])
    second = np.repeat([False, True, True, False], [one, other, 50, 7])
    n, k = one + other, min(one, other)
    tail = sum(comb(n, i) for i in range(k + 1)) / 2**n
    assert mcnemar(first, second) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(second, first) == mcnemar(first, second)
