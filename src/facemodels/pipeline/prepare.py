"""Prepare: a dataset to arrays, with a report of what was broken and a contact sheet."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from facemodels.cores import usable_cores
from facemodels.data.dataset_kind import DatasetSettings, RecognitionKind
from facemodels.data.datasets import Dataset
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace, ImagesInShards
from facemodels.data.leaks import shared_pictures
from facemodels.data.problems import check_share, kinds, summary
from facemodels.data.splits import FACES, save_group_names
from facemodels.errors import DataError
from facemodels.files import sha256_tree, write_bytes, write_json
from facemodels.params import PrepareWork
from facemodels.pipeline.face_finder import finder_of


def prepare(
    dataset: Dataset,
    output: Path,
    report: Path | None,
    picture: Path | None,
    work: PrepareWork | None = None,
) -> None:
    """Write the splits of one task below `output`.

    Args:
        dataset: the dataset to read.
        output: folder that gets `train/`, `val/`, `test/`, groups.json, and for recognition
            faces.json, which says how the faces were found.
        report: JSON file with counts, digest and every broken file with its reason.
        picture: PNG file with the contact sheet of the training split.
        work: who decodes or draws; None: a process for each core.

    Raises:
        DataError: the dataset is missing, more of it is broken than allowed, or nothing of it is
            there to validate or to test on.
    """
    kind = dataset.kind
    finder = finder_of(dataset.settings)
    place = _place(dataset.settings, output)
    read = dataset.read(workers=_workers(work or PrepareWork()), place=place, finder=finder)
    facts: dict[str, Any] = {
        "digest": None,
        "splits": {name: kind.count(split) for name, split in read.splits.items()},
        "problem_kinds": {kind: len(found) for kind, found in kinds(read.problems).items()},
        "problems": [vars(problem) for problem in read.problems],
        "notes": dict(read.notes or {}),
        "shared_pictures": shared_pictures({n: split.images for n, split in read.splits.items()}),
    }
    if report is not None:
        write_json(report, facts)  # before the check, because it says which files to mend
    if read.problems:
        sys.stderr.write("Left out: " + "\n          ".join(summary(read.problems)) + "\n")
    total = sum(len(split) for split in read.splits.values()) + len(read.problems)
    check_share(read.problems, total, read.allowed_broken, dataset.settings.source)
    _require_splits(read.splits, dataset.settings.source)
    _require_apart(facts["shared_pictures"], read.splits, dataset.settings)
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


def _workers(work: PrepareWork) -> Workers:
    if work.executor == "local":
        return work.workers or usable_cores()
    from facemodels.data.ray_tasks import RayTasks

    return RayTasks(work.ray_address)


def _place(settings: DatasetSettings, output: Path) -> ImagePlace:
    if settings.storage == "files":
        return IN_MEMORY
    return ImagesInShards(output, settings.shard_mb * 10**6)


def _require_apart(shared: Mapping[str, int], splits: Mapping[str, Any], settings: Any) -> None:
    """Tell of pictures that are in two splits, and refuse more of them than conf/data/ allows."""
    if not shared:
        return
    told = ", ".join(f"{pair} {count}" for pair, count in shared.items())
    what = f"{settings.source}: the same pictures are in two splits ({told})."
    allowed = getattr(settings, "allowed_shared", 1.0)
    sizes = {pair: len(splits[pair.split("/")[1]]) for pair in shared}
    if any(count > allowed * sizes[pair] for pair, count in shared.items()):
        raise DataError(what, "Take them out of one, or raise data.allowed_shared in conf/data/.")
    sys.stderr.write(f"Warning: {what} Figures on them say little.\n")


def _require_splits(splits: Mapping[str, Any], source: str) -> None:
    """Refuse what could only be measured as NaN, after a training that may have taken hours."""
    empty = [name for name in ("val", "test") if not len(splits[name])]
    if empty:
        sizes = ", ".join(f"{name} {len(split)}" for name, split in splits.items())
        raise DataError(
            f"{source}: nothing is left for the split {' and '.join(empty)} ({sizes}).",
            "Raise val_share or test_share, change the seed that deals, or give more data.",
        )
