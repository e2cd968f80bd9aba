from __future__ import annotations

from pathlib import Path

from facemodels.training.curves import curves

RECORDS = [
    {"step": 5, "loss": 0.5, "val_accuracy": 0.7},
    {"step": 10, "loss": 0.25, "val_accuracy": 0.8},
]


def _write(folder: Path) -> None:
    with curves(folder) as log:
        for record in RECORDS:
            log(record)


def test_every_metric_becomes_a_table_of_steps_and_values(tmp_path: Path) -> None:
    _write(tmp_path)
    table = (tmp_path / "plots/metrics/loss.tsv").read_text().split()
    assert table == ["step", "loss", "5", "0.5", "10", "0.25"]
    assert (tmp_path / "plots/metrics/val_accuracy.tsv").is_file()


def test_the_same_records_give_the_same_bytes_and_nothing_outside_the_folder(
    tmp_path: Path, monkeypatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in ("one", "other"):
        _write(tmp_path / name)
    assert list(work.iterdir()) == []
    for path in (tmp_path / "one/plots").rglob("*.tsv"):
        assert path.read_bytes() == (tmp_path / "other/plots/metrics" / path.name).read_bytes()
