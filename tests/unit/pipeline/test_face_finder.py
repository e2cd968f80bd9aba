"""The face of a photo, found by a real detector package."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.unit.pipeline.test_prepare import dataset, prepare

from facemodels.data.real.recognition import FaceSettings
from facemodels.data.sample.generate import detection_split, recognition_split
from facemodels.data.splits import FACES, RecognitionSplit
from facemodels.detection.mtcnn import AUTHORS, Mtcnn
from facemodels.detection.mtcnn.authors import authors_weights
from facemodels.detection.mtcnn.networks import pretrained
from facemodels.errors import InputError
from facemodels.imaging import CROPS
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.package.load import open_package
from facemodels.params import Card
from facemodels.pipeline import layout
from facemodels.pipeline.face_finder import PackageFinder, finder_of
from facemodels.training.weights import save_state

CARD = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="A detector.", changelog="",
    known_issues="", license="MIT", training_dataset="", parent_version="",
)  # fmt: skip


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mtcnn")
    kind = Mtcnn.of({"factor": 0.709, "max_pixels": 2_500_000})
    networks = pretrained(authors_weights().path)
    networks.keep(kind.cascade_settings(AUTHORS))
    save_state(networks.state_dict(), folder / "model.pt")
    content = PackageContent(
        ModelId.parse("det-mtcnn-v1.0.0"), kind, folder / "model.pt", {}, {"threshold": 0.9}, CARD
    )
    return build(content, folder / "package")


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A scene of several faces."""
    split = detection_split("test", seed=1, scenes=8, image_size=320, workers=1)
    counts = np.bincount(split.box_image)
    return np.array(split.images[int(np.argmax(counts >= 3))])


def test_one_face_of_several_is_taken_as_it_was_said(detector: Path, scene: np.ndarray) -> None:
    everyone = open_package(detector).predictor().detect([scene])[0]
    everyone_boxes = everyone.boxes[everyone.scores >= 0.9]
    assert len(everyone_boxes) >= 3
    found = {c: PackageFinder(detector, c)(scene) for c in ("centre", "largest", "best")}
    middles = (everyone_boxes[:, :2] + everyone_boxes[:, 2:]) / 2 - 160
    areas = np.prod(everyone_boxes[:, 2:] - everyone_boxes[:, :2], axis=1)
    expected = {
        "centre": int(np.argmin((middles**2).sum(axis=1))),
        "largest": int(np.argmax(areas)),
        "best": 0,
    }
    for choice, row in expected.items():
        face = found[choice]
        assert face is not None
        assert np.array_equal(face.box, everyone_boxes[row])
        assert face.points is not None
        assert face.points.shape == (5, 2)


def test_no_face_is_found_where_there_is_none_or_none_is_sure(
    detector: Path, scene: np.ndarray
) -> None:
    assert PackageFinder(detector)(np.zeros((100, 100, 3), np.uint8)) is None
    assert PackageFinder(detector, min_score=1.0)(scene) is None


def test_a_finder_can_be_sent_to_another_process(detector: Path, scene: np.ndarray) -> None:
    finder = PackageFinder(detector)
    there = pickle.loads(pickle.dumps(finder))  # noqa: S301  our own bytes
    one, other = finder(scene), there(scene)
    assert one is not None
    assert other is not None
    assert np.array_equal(one.box, other.box)


def test_a_detector_that_is_missing_is_an_error_before_any_image_is_read(tmp_path: Path) -> None:
    settings = FaceSettings(reader="lfw", source=".", detector=str(tmp_path / "none"))
    with pytest.raises(InputError, match="none"):
        finder_of(settings)


def test_prepared_photos_are_what_a_server_cuts_out_of_them(detector: Path, tmp_path: Path) -> None:
    """Bit for bit: the photo, its points and the crop's name decide it."""
    people = recognition_split(
        "test", seed=1, identities=6, images_per_identity=2, image_size=200, folds=2,
        pairs_per_fold=2, workers=1, crops=("facenet160",),
    )  # fmt: skip
    for row, person in enumerate(people.identities):
        path = tmp_path / f"raw/P{person}/{row:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.pad(people.images[row], ((40, 40), (30, 30), (0, 0)))).save(path)
    (tmp_path / "raw/P0").mkdir()
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(tmp_path / "raw/P0/nobody.png")
    data = dataset(
        "recognition", reader="folders", source=str(tmp_path / "raw"), detector=str(detector),
        crops=["arcface112", "dlib150"], val_share=0.3, test_share=0.3, folds=1, pairs_per_fold=1,
        min_images=1,
    )  # fmt: skip
    prepare(data, tmp_path / "out", tmp_path / "r.json", None)
    about = json.loads((tmp_path / "out" / FACES).read_text())
    digest = open_package(detector).digest
    assert about == {
        "detector": "det-mtcnn-v1.0.0", "digest": digest, "min_score": 0.9, "choose": "centre",
    }  # fmt: skip
    finder = PackageFinder(detector)
    expected = set()
    for path in sorted((tmp_path / "raw").rglob("*.png")):
        image = np.asarray(Image.open(path))
        face = finder(image)
        if face is not None:
            expected.add(CROPS["dlib150"].cut(image, face.points).tobytes())
    names = ("train", "val", "test")
    splits = [RecognitionSplit.load(tmp_path / "out" / name, "dlib150") for name in names]
    got = {image.tobytes() for split in splits for image in split.images[split.found]}
    assert got == expected
    assert len(got) >= 10


def test_a_folder_of_photos_is_cut_as_the_model_takes_it(detector: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for person in range(30):
        (tmp_path / f"raw/P{person:02}").mkdir(parents=True)
        for number in range(3):
            image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / f"raw/P{person:02}/{number}.png")
    with layout.dataset(tmp_path / "raw", "recognition", crops=["dlib150", ""]) as data:
        assert sorted(p.name for p in (data / "train").glob("*.npy")) == ["dlib150.npy"]
        with (
            pytest.raises(InputError, match="cut already"),
            layout.dataset(data, "recognition", detector=detector),
        ):
            pass
    with layout.dataset(tmp_path / "raw", "recognition", detector=detector) as data:
        val = RecognitionSplit.load(data / "val", "arcface112")
        assert not val.found.any()  # noise shows no face
        assert json.loads((data / FACES).read_text())["detector"] == "det-mtcnn-v1.0.0"
