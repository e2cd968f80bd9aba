"""Scenes with boxes to splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facemodels.data.problems import Problem, relative
from facemodels.data.readers.boxes import Scene
from facemodels.data.real.dealing import check_shares, deal, no_groups
from facemodels.data.real.loading import Job, Progress, load
from facemodels.data.splits import SPLITS, DetectionSplit


def detection_splits(
    scenes: Sequence[Scene],
    *,
    root: Path,
    image_size: int,
    val_share: float,
    test_share: float,
    seed: int,
    workers: int = 1,
    progress: Progress = None,
) -> tuple[dict[str, DetectionSplit], list[Problem]]:
    """Letterbox scenes into squares and deal them into splits by a hash of their paths.

    Args:
        scenes: pictures with boxes.
        root: the dataset's folder; paths are hashed and reported relative to it.
        image_size: side of the squares in pixels.
        val_share: expected share of the scenes in val, 0 to 1.
        test_share: expected share of the scenes in test.
        seed: changes which scenes go where.
        workers: processes that decode.
        progress: called with the number of newly finished pictures.

    Raises:
        DataError: shares outside 0 to 1, or a worker died.
    """
    check_shares(val_share, test_share)
    scenes = sorted(scenes, key=lambda scene: relative(scene.path, root))
    jobs = [Job(scene.path, image_size) for scene in scenes]
    loaded = load(jobs, root=root, image_size=image_size, workers=workers, progress=progress)
    names = [deal(relative(scenes[i].path, root), seed, val_share, test_share) for i in loaded.kept]
    splits = {}
    for name in SPLITS:
        rows = [row for row, dealt in enumerate(names) if dealt == name]
        boxes = [
            np.clip(
                loaded.place[row].edges(scenes[loaded.kept[row]].boxes.reshape(-1, 2)),
                0,
                image_size,
            ).reshape(-1, 4)
            for row in rows
        ]
        faces = np.array([len(found) for found in boxes], np.int64)
        splits[name] = DetectionSplit(
            images=loaded.images[rows],
            boxes=np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
            box_image=np.repeat(np.arange(len(rows), dtype=np.int32), faces),
            box_group=no_groups(int(faces.sum())),
        )
    return splits, loaded.problems
