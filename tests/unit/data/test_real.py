from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from facemodels.data.dataset_kind import FoundFace
from facemodels.data.kinds.lfw import read_lfw_pairs, read_people
from facemodels.data.kinds.pts import PtsKind
from facemodels.data.kinds.voc import VocKind
from facemodels.data.real.annotated_images import AnnotatedImage
from facemodels.data.real.detection import detection_splits
from facemodels.data.real.faces import Cutting
from facemodels.data.real.identities import FaceImage, NamedPair, read_identities
from facemodels.data.real.landmarks import landmark_splits
from facemodels.data.real.point_sets import PointSet
from facemodels.data.real.recognition import (
    FaceSettings,
    folder_recognition_splits,
    recognition_splits,
)
from facemodels.data.splits import NO_GROUP
from facemodels.errors import DataError, InputError
from facemodels.imaging import CROPS
from facemodels.recognition.batches import pair_scores

read_pts = PtsKind().read_points
read_voc = VocKind().read_annotations
DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="real data is not at ../shared/data")
MIDDLE, WHOLE = (Cutting(("arcface112",), fraction) for fraction in (0.5, 1.0))
SHARES: dict[str, Any] = {"val_share": 0.25, "test_share": 0.25, "seed": 3}


def assert_equal(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert list(first) == list(second) == ["train", "val", "test"]
    for name, split in first.items():
        for field in fields(split):
            np.testing.assert_array_equal(
                getattr(split, field.name), getattr(second[name], field.name)
            )


def scenes_in(root: Path, count: int = 24) -> list[AnnotatedImage]:
    """Black scenes with white rectangles where their boxes are."""
    rng = np.random.default_rng(0)
    scenes = []
    for index in range(count):
        pixels = np.zeros((40 + index, 80, 3), np.uint8)
        x0, y0 = rng.integers(0, 30, 2)
        pixels[y0 : y0 + 10, x0 : x0 + 20] = 255
        path = root / f"{index:02d}.png"
        Image.fromarray(pixels).save(path)
        scenes.append(AnnotatedImage(path, np.array([[x0, y0, x0 + 20, y0 + 10]], np.float32)))
    return scenes


def people_in(root: Path, people: int, images: int) -> list[FaceImage]:
    """Every picture has a grey of its own; its centre is brighter by 50."""
    for person in range(people):
        folder = root / f"P{person:02d}"
        folder.mkdir(parents=True)
        for index in range(1, images + 1):
            pixels = np.full((20, 20, 3), person * 8 + index, np.uint8)
            pixels[5:15, 5:15] += 50
            Image.fromarray(pixels).save(folder / f"P{person:02d}_{index:04d}.png")
    return read_identities(root)[0]


def face_in(path: Path, corner: tuple[int, int], side: int) -> PointSet:
    """68 points on a picture; the first marks a white pixel, the last the opposite corner."""
    x, y = corner
    points = np.full((68, 2), (x + 5, y + 5), np.float32)
    points[0], points[67] = (x, y), (x + side, y + side)
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[y, x] = 255
    Image.fromarray(pixels).save(path)
    return PointSet(path, points, None)


def test_boxes_follow_their_scene_into_the_square(tmp_path: Path) -> None:
    splits, problems = detection_splits(scenes_in(tmp_path), root=tmp_path, image_size=40, **SHARES)
    assert problems == []
    assert sum(map(len, splits.values())) == 24
    assert min(map(len, splits.values())) > 0
    for split in splits.values():
        assert (split.box_group == NO_GROUP).all()
        for index in range(len(split)):
            (box,) = split.boxes_of(index)
            x0, y0, x1, y1 = np.rint(box).astype(int)
            assert split.images[index][y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].min() > 200
            assert (split.images[index][:, x1 + 1 :] < 120).all()


def test_scenes_keep_their_split_whatever_the_order_or_the_company(tmp_path: Path) -> None:
    scenes = scenes_in(tmp_path)
    arguments = {"root": tmp_path, "image_size": 16, **SHARES}
    all_of_them, _ = detection_splits(scenes, **arguments)
    assert_equal(all_of_them, detection_splits(scenes[::-1], **arguments)[0])
    half, _ = detection_splits(scenes[::2], **arguments)
    for name, split in half.items():
        known = {image.tobytes() for image in all_of_them[name].images}
        assert all(image.tobytes() in known for image in split.images)
    other, _ = detection_splits(scenes, **{**arguments, "seed": 4})
    assert {k: v.images.tobytes() for k, v in other.items()} != {
        k: v.images.tobytes() for k, v in all_of_them.items()
    }


def test_workers_change_nothing_and_progress_counts_every_picture(tmp_path: Path) -> None:
    scenes = scenes_in(tmp_path)
    scenes[5].path.write_bytes(b"broken")
    counts: list[int] = []
    arguments = {"root": tmp_path, "image_size": 16, "progress": counts.append, **SHARES}
    alone = detection_splits(scenes, workers=1, **arguments)
    together = detection_splits(scenes, workers=2, **arguments)
    assert_equal(alone[0], together[0])
    assert alone[1] == together[1]
    assert [p.path for p in alone[1]] == ["05.png"]
    assert sum(counts) == 48


def test_no_scene_gives_empty_splits(tmp_path: Path) -> None:
    splits, problems = detection_splits([], root=tmp_path, image_size=16, **SHARES)
    assert problems == []
    assert all(split.boxes.shape == (0, 4) and len(split) == 0 for split in splits.values())


def pair(root: Path, first: tuple[int, int], second: tuple[int, int], fold: int) -> NamedPair:
    paths = [root / f"P{p:02d}" / f"P{p:02d}_{i:04d}.png" for p, i in (first, second)]
    return NamedPair(paths[0], paths[1], first[0] == second[0], fold)


def listed(root: Path, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "root": root,
        "train_people": ["P00", "P01", "P02", "P09"],
        "val_pairs": [pair(root, (3, 1), (3, 2), 0), pair(root, (3, 1), (4, 1), 0)],
        "test_pairs": [pair(root, (2, 1), (2, 2), 0), pair(root, (2, 1), (3, 1), 1)],
        "cutting": MIDDLE,
    }
    return recognition_splits(**{**arguments, **changes})


def test_listed_pairs_become_rows_of_the_right_pictures(tmp_path: Path) -> None:
    people_in(tmp_path, 5, 2)
    splits, problems, _ = listed(tmp_path)
    assert [p.path for p in problems] == ["P09"]
    test = splits["test"]
    assert len(test) == 3  # P02_0001 is in two pairs
    greys = test.images[test.pairs][:, :, 0, 0, 0].tolist()
    assert greys == [[16 + 1 + 50, 16 + 2 + 50], [16 + 1 + 50, 24 + 1 + 50]]
    assert test.same.tolist() == [True, False]
    assert test.folds.tolist() == [0, 1]
    assert (test.identities[test.pairs[:, 0]] == test.identities[test.pairs[:, 1]]).tolist() == [
        True,
        False,
    ]
    assert len(splits["train"].pairs) == 0


def test_the_centre_square_alone_is_kept(tmp_path: Path) -> None:
    people_in(tmp_path, 5, 1)
    image = listed(tmp_path, cutting=MIDDLE)[0]["train"].images[0]
    assert np.unique(image).tolist() == [51]
    whole = listed(tmp_path, cutting=WHOLE)[0]["train"].images[0]
    assert whole[0, 0, 0] == 1


class Finder:
    """Finds the face in every image but the second one of each person."""

    def __call__(self, image: NDArray[np.uint8]) -> FoundFace | None:
        if (image[0, 0, 0] % 8) == 2:
            return None
        points = np.array([[7, 8], [12, 8], [9.5, 11], [8, 13], [11, 13]], np.float32)
        return FoundFace(np.array([5, 5, 15, 15], np.float32), points)


def test_a_face_is_cut_out_in_every_crop_by_what_the_finder_found(tmp_path: Path) -> None:
    people_in(tmp_path, 5, 1)
    cutting = Cutting(("arcface112", "dlib150", "facenet160"), 1.0, Finder())
    train = listed(tmp_path, cutting=cutting)[0]["train"]
    face = Finder()(np.asarray(Image.open(tmp_path / "P00/P00_0001.png")))
    assert face is not None
    image = np.asarray(Image.open(tmp_path / "P00/P00_0001.png"))
    expected = CROPS["dlib150"].cut(image, face.points, face.box)
    assert (train.crop, set(train.others)) == ("arcface112", {"dlib150", "facenet160"})
    assert np.array_equal(train.others["dlib150"][0], expected)


def test_a_face_that_is_not_found_is_counted_and_never_trained_on(tmp_path: Path) -> None:
    people_in(tmp_path, 5, 2)
    cutting = Cutting(("arcface112",), 1.0, Finder())
    splits, problems, _ = listed(tmp_path, cutting=cutting)
    assert [p.path for p in problems] == ["P09"]
    assert splits["train"].found.tolist() == [True, True]
    test = splits["test"]
    assert test.found.tolist() == [True, False, True]
    assert test.images[1].max() == 0
    assert len(test.pairs) == 2  # its pair stays, and scores as no match
    scores = pair_scores(np.eye(3, dtype=np.float32), test.pairs, test.found)
    assert scores.tolist() == [-1.0, 0.0]


def test_a_detector_of_boxes_alone_is_refused_where_a_crop_needs_points(tmp_path: Path) -> None:
    people_in(tmp_path, 5, 1)

    def boxes_alone(image: NDArray[np.uint8]) -> FoundFace:
        return FoundFace(np.array([5, 5, 15, 15], np.float32), None)

    cut = listed(tmp_path, cutting=Cutting(("facenet160",), 1.0, boxes_alone))[0]["train"]
    assert cut.found.all()
    with pytest.raises(InputError, match="arcface112 needs five points"):
        listed(tmp_path, cutting=Cutting(("arcface112",), 1.0, boxes_alone))


def test_a_crop_by_points_needs_a_finder_where_a_detector_is_named(tmp_path: Path) -> None:
    settings = FaceSettings(reader="lfw", source=str(tmp_path), detector="models/detection/x")
    with pytest.raises(DataError, match="models/detection/x"):
        settings.cutting(None)


def test_disjoint_leaves_measured_people_out_of_train(tmp_path: Path) -> None:
    people_in(tmp_path, 5, 2)
    splits, _, overlap = listed(tmp_path, disjoint=True)
    assert (overlap.train_val, overlap.train_test, overlap.val_test) == (0, 0, 1)
    assert (overlap.dropped_people, overlap.dropped_images) == (1, 2)
    train = set(splits["train"].identities.tolist())
    assert len(train) == 2
    for name in ("val", "test"):
        assert not train & set(splits[name].identities.tolist())
    both, _, overlap = listed(tmp_path, disjoint=False)
    assert (overlap.train_test, overlap.dropped_people) == (1, 0)
    shared = set(both["train"].identities.tolist()) & set(both["test"].identities.tolist())
    assert len(shared) == 1


def test_without_a_list_everyone_who_is_not_measured_is_trained_on(tmp_path: Path) -> None:
    people_in(tmp_path, 7, 2)
    splits, problems, _ = listed(tmp_path, train_people=None)
    assert problems == []
    assert len(set(splits["train"].identities.tolist())) == 4  # all but 2, 3, 4
    assert len(listed(tmp_path, train_people=None, min_images=3)[0]["train"]) == 0


def test_a_pair_with_an_unusable_picture_is_left_out(tmp_path: Path) -> None:
    people_in(tmp_path, 5, 2)
    (tmp_path / "P02" / "P02_0002.png").write_bytes(b"broken")
    (tmp_path / "P04" / "P04_0001.png").unlink()
    splits, problems, _ = listed(tmp_path, train_people=[])
    assert splits["test"].same.tolist() == [False]
    assert splits["val"].same.tolist() == [True]
    assert [p.path for p in problems] == ["P02/P02_0002.png", "P04/P04_0001.png"]


def test_folders_without_lists_are_dealt_by_person(tmp_path: Path) -> None:
    faces = people_in(tmp_path, 24, 3)
    arguments: dict[str, Any] = {
        "root": tmp_path,
        "cutting": WHOLE,
        "folds": 2,
        "per_fold": 3,
        **SHARES,
    }
    splits, problems = folder_recognition_splits(faces, **arguments)
    assert problems == []
    assert_equal(splits, folder_recognition_splits(faces[::-1], workers=2, **arguments)[0])
    people = [set(split.identities.tolist()) for split in splits.values()]
    assert sum(map(len, people)) == len(set.union(*people)) == 24
    for name in ("val", "test"):
        split = splits[name]
        assert split.same.sum() == (~split.same).sum() > 0
        matches = split.identities[split.pairs[:, 0]] == split.identities[split.pairs[:, 1]]
        np.testing.assert_array_equal(matches, split.same)


@pytest.mark.parametrize("side", [11, 20, 37])
def test_points_follow_their_pixel_to_half_a_pixel(tmp_path: Path, side: int) -> None:
    face = face_in(tmp_path / "a.png", (12, 9), side)
    splits, _ = landmark_splits(
        [], [face], root=tmp_path, image_size=120, val_share=0.0, seed=0, margin=0.2
    )
    split = splits["test"]
    light = split.images[0, :, :, 0].astype(float)
    y, x = np.mgrid[:120, :120]
    centre = np.array([(light * x).sum(), (light * y).sum()]) / light.sum()
    np.testing.assert_allclose(split.points[0, 0], centre, atol=0.1)
    inner = 120 * 0.2 / 1.4
    top = inner - 0.24 * (120 - 2 * inner)  # to the hairline
    np.testing.assert_allclose(split.boxes[0], [inner, top, 120 - inner, 120 - inner], atol=1e-3)


def test_an_annotated_box_is_kept_and_follows_the_crop(tmp_path: Path) -> None:
    face = face_in(tmp_path / "a.png", (10, 10), 20)
    face = PointSet(face.path, face.points, np.array([10.5, 10.5, 20.5, 30.5], np.float32))
    splits, _ = landmark_splits(
        [], [face], root=tmp_path, image_size=40, val_share=0.0, seed=0, margin=0.0
    )
    np.testing.assert_allclose(splits["test"].boxes[0], [0, 0, 20, 40], atol=1e-4)


def test_faces_of_one_photograph_share_a_split(tmp_path: Path) -> None:
    faces = [
        face_in(tmp_path / f"{photo:03d}_{face}.png", (5 + photo, 5 + face), 20)
        for photo in range(16)
        for face in (1, 2)
    ]
    splits, problems = landmark_splits(
        faces, [], root=tmp_path, image_size=16, val_share=0.4, seed=1, margin=0.1
    )
    assert problems == []
    assert 0 < len(splits["val"]) < 32
    assert len(splits["val"]) % 2 == 0
    assert len(splits["train"]) + len(splits["val"]) == 32


def test_a_broken_face_is_a_problem(tmp_path: Path) -> None:
    good, broken = (face_in(tmp_path / f"{name}.png", (9, 9), 20) for name in "ab")
    far = PointSet(good.path, good.points * 10_000, None)
    broken.path.write_bytes(b"")
    splits, problems = landmark_splits(
        [], [good, broken, far], root=tmp_path, image_size=16, val_share=0.0, seed=0, margin=0.1
    )
    assert len(splits["test"]) == 1
    assert [p.path for p in problems] == ["a.png", "b.png"]


def test_values_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="crop_fraction"):
        FaceSettings(reader="lfw", source=str(tmp_path), crop_fraction=1.5)
    with pytest.raises(DataError, match="do not fit"):
        detection_splits([], root=tmp_path, image_size=8, val_share=0.6, test_share=0.6, seed=0)


@needs_data
def test_real_scenes_and_faces_become_splits() -> None:
    scenes, _ = read_voc(DATA / "facemask853" / "images", DATA / "facemask853" / "annotations")
    root = DATA / "facemask853"
    detection, problems = detection_splits(scenes[:40], root=root, image_size=96, **SHARES)
    assert problems == []
    assert sum(len(s.boxes) for s in detection.values()) == sum(len(s.boxes) for s in scenes[:40])
    faces, _ = read_pts(DATA / "300w" / "helen" / "testset")
    landmarks, problems = landmark_splits(
        [], faces[:40], root=DATA / "300w", image_size=64, val_share=0.0, seed=0, margin=0.25
    )
    assert problems == []
    points = landmarks["test"].points
    assert points.min() > 64 * 0.25 / 1.5 - 1
    assert points.max() < 64 * 1.25 / 1.5
    mouth, brow = points[:, 48:68, 1].mean(axis=1), points[:, 17:27, 1].mean(axis=1)
    assert (mouth > brow).all()


@needs_data
def test_a_fold_of_lfw_becomes_splits_without_shared_people() -> None:
    root = DATA / "lfw" / "lfw-deepfunneled"
    test_pairs = [p for p in read_lfw_pairs(DATA / "lfw" / "pairs.txt", root) if p.fold == 0]
    splits, problems, overlap = recognition_splits(
        root=root,
        train_people=read_people(DATA / "lfw" / "peopleDevTrain.txt")[:60],
        val_pairs=[],
        test_pairs=test_pairs[:30] + test_pairs[-30:],
        cutting=Cutting(("arcface112",), 0.6),
        min_images=2,
    )
    assert problems == []
    assert len(splits["test"].pairs) == 60
    assert overlap.train_test == 0
    assert len(splits["train"]) > 20
