"""Which of the architectures that one loop trains are killed in `make test` too."""

from __future__ import annotations

import pytest

KILLED = "test_a_training_that_was_killed_ends_in_the_bytes_of_one_that_ran_through"
# As recognition-arcface and detection-yolov8 are: by training/loop.py, and dearer.
OF_THE_LOOP = (("recognition", "facenet"), ("recognition", "dlib"), ("detection", "mtcnn"))


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        if item.originalname == KILLED and item.callspec.params["case"] in OF_THE_LOOP:
            item.add_marker(pytest.mark.full)
