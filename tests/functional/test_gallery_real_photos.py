"""Real people: the default system finds eight of them again, and refuses those it does not know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scipy.stats import binomtest

from facemodels.gallery.enrol import EnrolmentRules, enrol
from facemodels.gallery.faces import meant, read_photo
from facemodels.gallery.identify import IdentifiedFace, identify
from facemodels.gallery.opened import GallerySystem
from facemodels.gallery.store import Gallery, open_gallery
from facemodels.package.load import open_package

from ..conftest import ROOT, SHARED
from .serving.conftest import make_package

LFW = SHARED / "lfw" / "lfw-deepfunneled"
pytestmark = pytest.mark.skipif(not LFW.is_dir(), reason="LFW is not beside the repository")

PHOTOS = 10  # of a person, of which two are enrolled
STRANGERS = 60
FMR = 1e-3  # of one comparison; a stranger is compared with 16 rows: 1.6 % FPIR at most
_DEFAULT = """
import sys
from pathlib import Path
import yaml
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.package.build_system import SystemContent, build_system
from facemodels.package.load import open_package
from facemodels.params import Card, load_yaml
from facemodels.recognition.dlib import PRETRAINED, DlibEmbedder
from facemodels.recognition.dlib.dat_file import read
from facemodels.recognition.dlib.network import load_dat
from facemodels.system.calibration import Calibration
from facemodels.system.quality import QualityLimits
from facemodels.training.weights import save_state

detector, folder, conf = (Path(word) for word in sys.argv[1:])
settings = load_yaml(conf / "model/recognition-dlib.yaml")
model = DlibEmbedder.of(settings["network"])
network = model.build()
load_dat(network, read(PRETRAINED.locate()), "the file")
weights = folder / "model.pt"
save_state(network.state_dict(), weights)
card = Card.model_validate(settings["card"])
identity = ModelId.parse("rec-dlib-v1.0.0")
content = PackageContent(identity, model, weights, {}, {"metrics": {}, "threshold": 0.9}, card)
recogniser = build(content, folder / "dlib-v1.0.0")
members = {p.task: p for p in map(open_package, (detector, recogniser))}
calibration = Calibration.of_json(load_yaml(conf / "calibration/faces.yaml"))
space = members["recognition"].metadata["embedding_space"]
assert calibration.embedding_space == space
words = card.model_copy(update={"license": "Apache-2.0"})
system = SystemContent(
    ModelId.parse("sys-faces-v1.0.0"), members, 0.9, 0.001, calibration, QualityLimits(eyes=20),
    {}, words,
)
build_system(system, folder / "faces-v1.0.0")
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> GallerySystem:
    """detection-mtcnn and recognition-dlib, with their authors' weights, in a package."""
    folder = tmp_path_factory.mktemp("faces")
    detector = make_package("det-mtcnn-v1.0.0", folder / "mtcnn-v1.0.0")
    command = [sys.executable, "-c", _DEFAULT, str(detector), str(folder), str(ROOT / "conf")]
    subprocess.run(command, check=True)
    return GallerySystem.of(open_package(folder / "faces-v1.0.0"), threads=2)


@pytest.fixture(scope="module")
def people() -> dict[str, list[Path]]:
    """The first photos of the first eight people who have ten or more."""
    found = {}
    for folder in sorted(LFW.iterdir()):
        photos = sorted(folder.iterdir())
        if len(photos) >= 10:
            found[folder.name] = photos[:PHOTOS]
        if len(found) == 8:
            break
    return found


@pytest.fixture(scope="module")
def staff(
    system: GallerySystem,
    people: dict[str, list[Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Gallery:
    folder = tmp_path_factory.mktemp("galleries") / "staff"
    rules = EnrolmentRules(choose="centre", keep_photos=True)
    for person, photos in people.items():
        enrol(folder, system, person, [read_photo(path) for path in photos[:2]], rules)
    return open_gallery(folder, system.space)


def answer(system: GallerySystem, staff: Gallery, path: Path) -> IdentifiedFace:
    photo = read_photo(path)
    faces = meant(
        photo, system.find(photo.image), choose="centre", limits=system.limits,
        min_score=system.min_score,
    )  # fmt: skip
    return identify(staff.index, faces, system.operating_threshold(fmr=FMR))[0]


def test_people_are_found_again_by_two_photos_each(
    system: GallerySystem, people: dict[str, list[Path]], staff: Gallery
) -> None:
    asked = [(person, path) for person, photos in people.items() for path in photos[2:]]
    answers = [(person, answer(system, staff, path)) for person, path in asked]
    first = sum(found.people[0].person == person for person, found in answers) / len(answers)
    named = sum(found.person == person for person, found in answers) / len(answers)
    print(f"\n{len(answers)} photos of {len(people)} people: rank-1 {first:.4f}, named {named:.4f}")
    assert first >= 0.97
    assert named >= 0.95


def test_strangers_are_refused_at_the_stated_rate(
    system: GallerySystem, people: dict[str, list[Path]], staff: Gallery
) -> None:
    strangers = [folder for folder in sorted(LFW.iterdir()) if folder.name not in people]
    chosen = strangers[:: len(strangers) // STRANGERS][:STRANGERS]
    answers = [answer(system, staff, min(folder.iterdir())) for folder in chosen]
    named = sum(found.person is not None for found in answers)
    stated = 1 - (1 - FMR) ** len(staff.rows)
    print(f"\n{len(answers)} strangers: FPIR {named / len(answers):.4f}, stated {stated:.4f}")
    # So many would be a chance of less than 1 % if the rate were the stated one.
    assert binomtest(named, len(answers), stated, alternative="greater").pvalue > 0.01
