"""Loss and validation curves as files that `dvc plots` and `dvc exp show` read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from facemodels.sealing.recording import unrecorded


class Curves(Protocol):
    """Takes one record a validation."""

    def __call__(self, record: Mapping[str, float]) -> None:
        """Append a record that has `step` among its keys."""


@contextmanager
def curves(folder: Path) -> Iterator[Curves]:
    """Write records to `folder` with dvclive: plots/metrics/*.tsv and metrics.json.

    dvclive's own reports, experiments and dvc.yaml are off: the stage declares the files.
    """
    os.environ.setdefault("DVC_NO_ANALYTICS", "true")
    from dvclive.live import Live

    with unrecorded():  # it opens the repository, and in an experiment all of DVC's files
        live: Any = Live(
            dir=str(folder), resume=False, report=None, save_dvc_exp=False, dvcyaml=None
        )

    def log(record: Mapping[str, float]) -> None:
        live.step = int(record["step"])
        for name in sorted(record.keys() - {"step"}):
            live.log_metric(name, record[name])
        live.make_summary()

    try:
        yield log
    finally:
        with unrecorded():
            live.end()
