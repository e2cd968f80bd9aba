"""The pipeline's stages compute the same bytes on every machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from facemodels.determinism import PORTABLE
from smoke_digests import differences, processor
from tests.functional.conftest import Clone


def test_pictures_weights_and_graphs_have_the_bytes_of_the_table(built: Clone) -> None:
    found = differences(built.folder)
    assert found == [], (
        f"Built on {processor()}. If the change is meant: python tools/smoke_digests.py "
        f"{built.folder} --write"
    )


def test_a_training_records_what_was_set_for_it(built: Clone) -> None:
    record = json.loads(built.read("build/recognition-arcface/model/training.json"))
    assert record["determinism"] == {"mode": "portable", "settings": dict(PORTABLE)}


@pytest.mark.full
def test_two_hundred_runs_shot_and_resized_at_random_give_one_digest_a_model(built: Clone) -> None:
    script = Path(__file__).with_name("random_runs.py")
    found = json.loads(built.run(sys.executable, str(script), "200", "17", timeout_s=7200).stdout)
    assert {name: len(tally["digests"]) for name, tally in found.items()} == {
        "detection-yolov8": 1, "recognition-facenet": 1, "recognition-arcface": 1,
    }  # fmt: skip
    assert sum(tally["runs"] for tally in found.values()) == 200
    assert all(tally["shots"] > 20 and len(tally["workers"]) == 8 for tally in found.values())
