"""`facemodels check-lock`: what it prints and exits with; tests/unit/test_dvc_yaml.py calls `deps`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from facemodels.cli.main import main
from facemodels.sealing.record import summary

RECORD = "reports/sealed/make.json"


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline of one stage that is locked, with the record of its run."""
    stage = {"cmd": "python x.py", "deps": ["a"], "params": ["rate"], "outs": ["b", RECORD]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    entry = {
        "deps": [{"path": "a", "md5": "1"}],
        "params": {"params.yaml": {"rate": 1e-05}},
        "outs": [{"path": "b", "md5": "2.dir"}, {"path": RECORD, "md5": "3"}],
    }
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"make": entry}}))
    record = {
        "deps": summary({"a": "1"}),
        "params": summary({"params.yaml": {"rate": 1e-05}}),
        "outs": {"b": "2.dir"},
    }
    (tmp_path / RECORD).parent.mkdir(parents=True)
    (tmp_path / RECORD).write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_lock(*options: str) -> Result:
    return CliRunner().invoke(main, ["check-lock", *options])


def test_a_lock_that_the_records_agree_with_passes_without_a_word(locked: Path) -> None:
    done = check_lock()
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2.dir", "9.dir", "b is 9.dir in dvc.lock, and the run made 2.dir"),
        ("md5: '1'", "md5: '9'", "the dependencies"),
        ("1.0e-05", "0.1", "the parameters"),
    ],
)
def test_what_no_run_made_is_named_with_exit_code_3(
    locked: Path, old: str, new: str, said: str
) -> None:
    lock = locked / "dvc.lock"
    assert old in lock.read_text()
    lock.write_text(lock.read_text().replace(old, new))
    done = check_lock("--json")
    assert done.exit_code == 3
    (found,) = json.loads(done.stdout)
    assert found["stage"] == "make"
    assert said in found["reason"]
    assert "dvc repro --force" in check_lock().stderr


@pytest.mark.parametrize(("text", "said"), [(None, "no sealed run left"), ("{}", "is no record")])
def test_a_missing_or_broken_record_is_named(locked: Path, text: str | None, said: str) -> None:
    (locked / RECORD).unlink()
    if text is not None:
        (locked / RECORD).write_text(text)
    done = check_lock()
    assert done.exit_code == 3
    assert said in done.stdout
