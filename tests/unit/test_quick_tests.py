"""`make test-quick` runs the tests that mirror a change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tests_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    sys.modules.pop("quick_tests", None)
    import quick_tests

    return lambda *names: [
        str(p) for p in quick_tests.mirrored([Path(name) for name in names], ROOT)
    ]


def test_a_module_of_a_package_stands_for_the_tests_of_its_room(tests_of) -> None:
    found = tests_of("src/facemodels/monitoring/analysis/verdict.py")
    assert "tests/unit/monitoring/analysis" in found
    assert "tests/unit/registry" not in found


def test_a_module_of_the_ground_floor_stands_for_its_test_and_those_that_import_it(
    tests_of,
) -> None:
    found = tests_of("src/facemodels/names.py")
    assert "tests/unit/test_names.py" in found
    assert any(name.startswith("tests/unit/registry/") for name in found)


def test_a_changed_unit_test_stands_for_itself(tests_of) -> None:
    assert tests_of("tests/unit/test_names.py") == ["tests/unit/test_names.py"]


def test_what_has_no_unit_tests_asks_for_none(tests_of) -> None:
    assert tests_of("README.md", "tests/functional/test_cli.py") == []


@pytest.mark.parametrize(
    "changed", ["dvc.yaml", "params.yaml", "stages/train.py", "conf/model/recognition-facenet.yaml"]
)
def test_a_file_of_the_pipeline_stands_for_the_tests_that_read_it(tests_of, changed: str) -> None:
    assert "tests/unit/test_dvc_yaml.py" in tests_of(changed)


def test_every_test_that_is_named_by_hand_exists(tests_of) -> None:
    import quick_tests

    named = {name for names in quick_tests.READ_BY.values() for name in names}
    for name in sorted(named | set(quick_tests.ALWAYS)):
        assert (ROOT / quick_tests.UNIT / name).exists(), name


def test_no_test_is_named_twice(tests_of) -> None:
    found = tests_of("src/facemodels/registry/rules.py", "tests/unit/registry/test_rules.py")
    assert "tests/unit/registry" in found
    assert not [name for name in found if name.startswith("tests/unit/registry/")]
