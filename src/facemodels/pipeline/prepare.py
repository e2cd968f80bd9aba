"""Prepare: a dataset to arrays, with a report of what was broken and a contact sheet."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from PIL import Image

from facemodels.data.dataset_kind import RecognitionKind
from facemodels.data.datasets import Dataset
from facemodels.data.problems import check_share
from facemodels.data.splits import FACES, save_group_names
from facemodels.files import sha256_tree, write_bytes, write_json
from facemodels.pipeline.face_finder import finder_of


def prepare(dataset: Dataset, output: Path, report: Path | None, picture: Path | None) -> None:
    """Write the splits of one task below `output`.

    Args:
        dataset: the dataset to read.
        output: folder that gets `train/`, `val/`, `test/`, groups.json, and for recognition
            faces.json, which says how the faces were found.
        report: JSON file with counts, digest and every broken file with its reason.
        picture: PNG file with the contact sheet of the training split.

    Raises:
        DataError: the dataset is missing, or more of it is broken than allowed.
    """
    kind = dataset.kind
    finder = finder_of(dataset.settings)
    read = dataset.read(workers=_usable_cores(), finder=finder)
    facts: dict[str, Any] = {
        "digest": None,
        "splits": {name: kind.count(split) for name, split in read.splits.items()},
        "problems": [vars(problem) for problem in read.problems],
        "notes": dict(read.notes or {}),
    }
    if report is not None:
        write_json(report, facts)  # before the check, because it says which files to mend
    total = sum(len(split) for split in read.splits.values()) + len(read.problems)
    check_share(read.problems, total, read.allowed_broken, dataset.settings.source)
    for name, split in read.splits.items():
        split.save(output / name)
    save_group_names(output, read.groups)
    if isinstance(kind, RecognitionKind):
        about = finder.about() if finder else {"detector": kind.without_finder}
        write_json(output / FACES, about)
    if report is not None:
        write_json(report, facts | {"digest": sha256_tree(output)})
    if picture is not None:
        buffer = io.BytesIO()
        sheet = Image.fromarray(kind.contact_sheet(read.splits["train"]))
        sheet.save(buffer, "PNG", optimize=True)
        write_bytes(picture, buffer.getvalue())


def _usable_cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
