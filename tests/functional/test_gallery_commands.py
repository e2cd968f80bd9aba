"""`facemodels gallery` in a real repository of Git and DVC; the system reads drawn photos."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from facemodels.cli.main import main
from facemodels.gallery.opened import GallerySystem

from ..unit.gallery.drawn import NEW, OLD, drawn, system
from . import dvc_here


def dvc(*words: str) -> None:
    dvc_here.dvc(Path.cwd(), *words)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository") / "clone"
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc_here.dvc(folder, "init", "-q")
    return folder


@pytest.fixture
def clone(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "clone"
    subprocess.run(["cp", "-a", str(template), str(folder)], check=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("facemodels.package.policies.open_package", lambda path, **_: path.name)
    spaces = {"old": system(OLD), "new": system(NEW, dimension=32)}
    monkeypatch.setattr(GallerySystem, "of", lambda package, threads: spaces[package])
    for name in spaces:
        Path(name).mkdir()
    for photo in (drawn(1), drawn(1, take=1), drawn(2), drawn(1, 2), drawn(3)):
        Path(photo.name).write_bytes(photo.data)
    return folder


def gallery(*words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["gallery", *words])
    assert done.exit_code == code, (done.output, done.exception)
    return done


def enrol(person: str, *photos: str) -> None:
    gallery(
        "enrol",
        *photos,
        "--gallery",
        "staff",
        "--person",
        person,
        "--system",
        "old",
        "--keep-photos",
    )


def people(*words: str) -> dict[str, int]:
    listed = json.loads(gallery("list", "--gallery", "staff", "--json", *words).stdout)
    return {entry["person"]: entry["photos"] for entry in listed["people"]}


def test_a_checkout_of_the_commit_before_undoes_everything(clone: Path) -> None:
    enrol("Ada", "photo-1-0.png", "photo-1-1.png")
    enrol("Grace", "photo-2-0.png")
    git("add", "galleries")
    assert set(git("diff", "--cached", "--name-only", "--", "galleries").split()) == {
        "galleries/.gitignore",
        "galleries/staff.dvc",
    }
    git("commit", "-qm", "Enrol")
    before = {p: p.read_bytes() for p in Path("galleries/staff").rglob("*") if p.is_file()}
    digest = drawn(1).source[:10]
    gallery("move", digest, "--gallery", "staff", "--person", "Ada", "--to", "Linus")
    gallery("nobody", "photo-1-1.png", "--gallery", "staff", "--person", "Ada")
    gallery("merge", "Linus", "--into", "Grace", "--gallery", "staff")
    assert people() == {"Grace": 2}
    gallery("remove", "Grace", "--gallery", "staff")
    assert people() == {}
    git("commit", "-qam", "Edit")
    git("checkout", "-q", "HEAD~1")
    dvc("checkout", "-q")
    assert {p: p.read_bytes() for p in Path("galleries/staff").rglob("*") if p.is_file()} == before
    assert people() == {"Ada": 2, "Grace": 1}


def test_a_removed_person_is_purged_from_cache_and_remote(clone: Path, tmp_path: Path) -> None:
    enrol("Ada", "photo-1-0.png")
    enrol("Grace", "photo-2-0.png")
    dvc("remote", "add", "-q", "-d", "storage", str(tmp_path / "remote"))
    git("add", ".dvc", "galleries")
    git("commit", "-qm", "Enrol")
    dvc("push", "-q")
    photo = drawn(1).data
    would = gallery("remove", "Ada", "--gallery", "staff", "--dry-run").stdout
    assert would == f"Would delete 1 face of {OLD}\n"
    said = gallery("remove", "Ada", "--gallery", "staff").stdout
    assert "Removed 1 face of Ada, and 1 photo\n" in said
    for command in (
        "purge --gallery staff`",
        "purge --gallery staff --remote storage`",
        "other clones",
    ):
        assert command in said
    git("commit", "-qam", "Remove")

    def holders(place: Path) -> list[Path]:
        files = [path for path in place.rglob("*") if path.is_file()]
        return [path for path in files if b"Ada" in (data := path.read_bytes()) or data == photo]

    places = [Path(".dvc/cache"), tmp_path / "remote"]
    assert all(holders(place) for place in places)
    gallery("purge", "--gallery", "staff", "--remote", "storage")
    gallery("purge", "--gallery", "staff")
    assert [holders(place) for place in (*places, Path("galleries"))] == [[], [], []]
    dvc("push", "-q")
    assert people() == {"Grace": 1}


def test_a_photo_is_answered_with_scores_threshold_and_rate(clone: Path) -> None:
    enrol("Ada", "photo-1-0.png")
    asked = ["photo-1-2-0.png", "--gallery", "staff", "--system", "old", "--choose", "all"]
    said = gallery("identify", *asked, "--fmr", "0.01").stdout
    assert [line.split("  ")[0] for line in said.splitlines()[:2]] == [
        "Face at 0,0: Ada",
        "Face at 100,0: unknown",
    ]
    assert said.endswith("Threshold 0.700, at an FMR of 0.01 for each comparison\n")
    told = json.loads(gallery("identify", *asked, "--json").stdout)
    assert [face["person"] for face in told["faces"]] == ["Ada", None]
    assert "embedding" not in {key for face in told["faces"] for key in face}
    refused = gallery("identify", *asked, "--fmr", "0.000001", code=2)
    assert "1e-06" in refused.output
    other = gallery("identify", *asked[:-4], "--system", "new", code=2)
    assert f"has faces of {OLD}, not of {NEW}" in other.output


def test_a_migrated_gallery_answers_beside_the_old_one(clone: Path) -> None:
    enrol("Ada", "photo-1-0.png")
    assert (
        f"Added 1 face of {NEW} beside {OLD}" in gallery("migrate", "staff", "--to", "new").stdout
    )
    for package in ("old", "new"):
        said = gallery(
            "identify", "photo-1-1.png", "--gallery", "staff", "--system", package
        ).stdout
        assert "Ada" in said
    assert "Name one of them with --space" in gallery("list", "--gallery", "staff", code=2).output
    assert people("--space", NEW) == people("--space", OLD) == {"Ada": 1}
    audited = json.loads(gallery("audit", "--gallery", "staff", "--system", "new", "--json").stdout)
    assert [finding["kind"] for finding in audited["findings"]] == ["one_photo"]


def test_people_travel_through_files(clone: Path) -> None:
    enrol("Ada", "photo-1-0.png", "photo-1-1.png")
    gallery("export", "staff.npz", "--gallery", "staff")
    gallery("export", "photos", "--gallery", "staff")
    gallery("import", "staff.npz", "--gallery", "other", "--system", "old")
    gallery("import", "photos", "--gallery", "third", "--system", "new")
    for name in ("other", "third"):
        assert gallery("list", "--gallery", name).stdout == "person\tphotos\nAda\t2\n"
    listed = gallery("list", "--gallery", "other", "--person", "Ada").stdout.splitlines()
    assert [line.split("\t")[0] for line in listed[1:]] == sorted(
        [drawn(1).source, drawn(1, take=1).source]
    )


def test_processes_that_enrol_at_once_lose_nothing(clone: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.unit.gallery.drawn import drawn, system\n"
        "from facemodels.gallery.enrol import enrol\n"
        "person = int(sys.argv[1])\n"
        "for take in range(2):\n"
        "    enrol(Path(sys.argv[2]), system(), f'P{person}', [drawn(person, take=take)])\n"
    )
    root = Path(__file__).resolve().parents[2]
    folder = str(clone / "galleries" / "staff")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(person), folder], cwd=root, env=os.environ
        )
        for person in (1, 2)
    ]
    assert [process.wait() for process in running] == [0, 0]
    assert people() == {"P1": 2, "P2": 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--gallery", "nowhere"], "galleries/nowhere"),
        (["list", "--gallery", "No way"], "no name of a gallery"),
        (["move", "zz", "--gallery", "staff", "--person", "A", "--to", "B"], "neither a file nor"),
        (["move", "abcd", "--gallery", "staff", "--to", "B"], "give --person or --nobody"),
        (["identify", "photo-3-0.png", "--gallery", "staff", "--system", "what"], "neither a folder nor an id"),
    ],
)  # fmt: skip
def test_wrong_input_is_named(clone: Path, words: list[str], said: str) -> None:
    assert said in gallery(*words, code=2).output
