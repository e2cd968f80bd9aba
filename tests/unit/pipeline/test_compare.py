"""A version that claims the embedding space of another, in the reports and the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.unit.registry.test_bump import SETTINGS, embedder, faces, old  # noqa: F401

from facemodels.cli.main import main
from facemodels.errors import GateError, InputError
from facemodels.evaluate import speed
from facemodels.evaluate.compatibility import require_compatible
from facemodels.package.load import Package
from facemodels.pipeline.compare import compare_task

Old = tuple[Package, dict[str, str]]


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are not what this is about."""
    served = {"p50_ms": 1.0, "p99_ms": 1.0, "peak_rss_mb": 1.0, "file_size_mb": 1.0}
    monkeypatch.setattr(speed, "measure_served", lambda *_, **__: served)


def claimer(claim: dict[str, str], folder: Path) -> Package:
    """A package of other weights that claims a space."""
    return embedder(folder / "new", "1.1.0", 1, claim)


def placed(package: Package, root: Path) -> None:
    """Put a package where its id says."""
    shutil.copytree(package.folder, root / package.id.folder)


def test_the_report_has_the_claim_even_where_the_old_version_is_no_candidate(
    old: Old,  # noqa: F811
    faces: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package, claim = old
    placed(package, tmp_path)
    monkeypatch.chdir(tmp_path)
    new = claimer(claim, tmp_path)
    result = compare_task([new.folder], None, faces, SETTINGS)
    (found,) = result["compatibility"]
    assert (found.old, found.new) == ("rec-arcface-v1.0.0", "rec-arcface-v1.1.0")
    assert "rec-arcface-v1.1.0 in the space of rec-arcface-v1.0.0" in result["report"]
    assert result["accuracy"]["compatibility"] == [found.as_json()]
    with pytest.raises(GateError):
        require_compatible(found)


def test_a_baseline_whose_space_is_claimed_is_measured_once(
    old: Old,  # noqa: F811
    faces: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    package, claim = old
    new = claimer(claim, tmp_path)
    result = compare_task([new.folder], package.folder, faces, SETTINGS)
    assert [found.old for found in result["compatibility"]] == ["rec-arcface-v1.0.0"]
    shown = [line.split("|")[1].strip() for line in result["report"].splitlines() if "|" in line]
    assert {"accuracy", "eer", "rank1"} <= set(shown)  # every figure, one column a candidate


def test_without_a_claim_there_is_no_word_of_it(
    old: Old,  # noqa: F811
    faces: Path,  # noqa: F811
) -> None:
    result = compare_task([old[0].folder], None, faces, SETTINGS)
    assert result["compatibility"] == []
    assert "compatibility" not in result["accuracy"]


def test_a_claim_on_a_package_that_is_not_there_says_how_to_bring_it_back(
    old: Old,  # noqa: F811
    faces: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    new = claimer(old[1], tmp_path)
    with pytest.raises(InputError, match=r"not in models/recognition/arcface-v1\.0\.0") as error:
        compare_task([new.folder], None, faces, SETTINGS)
    assert "dvc checkout" in str(error.value.remedy)


@pytest.mark.parametrize(("claims", "code"), [(True, 4), (False, 0)])
def test_the_command_measures_any_two_and_refuses_a_false_claim(
    claims: bool,
    code: int,
    old: Old,  # noqa: F811
    faces: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    package, claim = old
    new = embedder(tmp_path / "new", "1.1.0", 1, claim if claims else None)
    command: list[Any] = [
        "compare", "--model-a", package.folder, "--model-b", new.folder, "--test-data", faces,
        "--metrics", "compatibility", "--resamples", 50, "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(main, [str(word) for word in command])
    assert done.exit_code == code, done.output
    found = json.loads(done.stdout)
    assert found["rows"] == []
    assert found["compatibility"]["passed"] is False
    assert {row["metric"] for row in found["compatibility"]["rows"]} >= {"accuracy", "fnmr"}
