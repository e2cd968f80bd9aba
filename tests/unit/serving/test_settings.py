"""conf/serving.yaml and its schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from facemodels.errors import ParamsError
from facemodels.serving.settings import PATH, Serving, load

ROOT = Path(__file__).resolve().parents[3]


def test_the_file_in_conf_says_what_the_defaults_are() -> None:
    assert load(ROOT / PATH) == Serving(open=("page",))


def test_a_setting_that_is_not_given_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "serving.yaml"
    path.write_text("limits: {queue: 3}")
    assert load(path).limits == Serving().limits.model_copy(update={"queue": 3})


def test_without_a_file_the_defaults_hold_unless_one_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load() == Serving()
    with pytest.raises(ParamsError, match=r"serving\.yaml"):
        load(PATH)


@pytest.mark.parametrize(
    "text",
    [
        "limits: {queue: 0}", "limits: {deadline_s: 0}", "limits: {header_s: .inf}",
        "limits: {grace_s: .nan}", "limits: {drain_s: -1}", "limits: {typo: 1}", "other: 1",
        "workers: 0", "batching: {wait_ms: -1}", "[]", "",
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "serving.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"serving\.yaml"):
        load(path)
