"""conf/retention.yaml: what it may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facemodels.errors import ParamsError
from facemodels.params import parse
from facemodels.storage.retention.settings import RetentionSettings, load

ROOT = Path(__file__).resolve().parents[4]


def read(**values: Any) -> RetentionSettings:
    return parse(RetentionSettings, values, "conf/retention.yaml")


def test_the_committed_file_keeps_three_versions_of_production() -> None:
    settings = load(ROOT)
    assert (settings.keep_production, settings.archive.prefix) == (3, "archive")


def test_a_repository_without_the_file_has_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == RetentionSettings()


def test_ids_are_known_by_one_name() -> None:
    assert read(keep=["recognition-facenet@v1.0.0"]).keep == ("rec-facenet-v1.0.0",)


@pytest.mark.parametrize(
    "values",
    [
        {"keep_production": 0},
        {"keep_days": -1},
        {"grace_days": float("nan")},
        {"keep": ["facenet"]},
        {"keeps": []},
        {"archive": {"level": 23}},
        {"archive": {"threads": -1}},
        {"archive": {"prefix": ""}},
        {"archive": {"prefix": "/archive"}},
        {"archive": {"prefix": "archive/"}},
        {"archive": {"prefix": "../archive"}},
        {"archive": {"prefix": "files/md5"}},
        {"archive": {"storage_class": "GLACIER"}},  # cannot be read back before it is thawed
        {"archive": {"storage_class": "DEEP_ARCHIVE"}},
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match=r"conf/retention\.yaml does not fit"):
        read(**values)


@pytest.mark.parametrize("prefix", ["archive", "cold/archive", "a"])
def test_any_relative_folder_may_hold_the_archives(prefix: str) -> None:
    assert read(archive={"prefix": prefix}).archive.prefix == prefix
