"""The pipeline's stages compute the same bytes on every machine."""

from __future__ import annotations

import json

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
