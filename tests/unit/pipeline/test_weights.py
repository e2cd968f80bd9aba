"""Weights that others publish: verified before they get their name, tracked by DVC after it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from filelock import FileLock

from facemodels.cli.main import main
from facemodels.errors import ConflictError, DataError, InputError, ParamsError, ToolError
from facemodels.files import sha256
from facemodels.params import WeightsDownload, load, load_yaml, parse
from facemodels.pipeline.weights import edit_pin, fetch, state_of
from facemodels.training.initial_weights import initial_weights

ROOT = Path(__file__).resolve().parents[3]
CONTENT = b"weights of others " * 5000


def pinned(address: str, content: bytes = CONTENT, **changes: object) -> WeightsDownload:
    values = {
        "file": "data/weights/tiny.pt", "url": address, "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(), "license": "MIT",
        "training_dataset": "people",
    }  # fmt: skip
    return parse(WeightsDownload, {**values, **changes}, "weights")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of Git and DVC with nothing in it."""
    folder = tmp_path_factory.mktemp("empty")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.fixture
def root(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(empty, tmp_path / "repo")
    monkeypatch.chdir(tmp_path / "repo")
    return tmp_path / "repo"


def record(root: Path) -> dict:
    return yaml.safe_load((root / "data/weights/tiny.pt.dvc").read_text())


def test_a_fetched_file_is_verified_and_tracked_by_its_url(root: Path, publisher) -> None:
    publisher.content = CONTENT
    done = fetch(root, pinned(publisher.url))
    assert (done.downloaded, done.tracked) == (True, "import-url")
    assert (root / "data/weights/tiny.pt").read_bytes() == CONTENT
    tracked = record(root)
    assert tracked["deps"][0]["path"] == publisher.url
    assert tracked["outs"][0]["md5"] == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert tracked["frozen"]
    assert [path.suffix for path in (root / ".cache/weights").iterdir()] == [".lock"]
    assert (root / "data/weights/.gitignore").read_text() == "/tiny.pt\n"
    again = fetch(root, pinned(publisher.url))
    assert (again.downloaded, again.tracked) == (False, "before")
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, check=True
    )
    assert json.loads(status.stdout) == {}


def test_an_altered_file_never_gets_the_name_and_both_digests_are_named(
    root: Path, publisher
) -> None:
    publisher.content = CONTENT[:-1] + b"X"
    found, wanted = hashlib.sha256(publisher.content).hexdigest(), pinned(publisher.url)
    with pytest.raises(DataError, match=rf"{found}, and {wanted.sha256} is pinned"):
        fetch(root, wanted)
    assert not (root / "data/weights").exists()
    assert state_of(root, wanted) == "absent"


def test_a_cut_transfer_leaves_no_file_under_the_name_and_goes_on(root: Path, publisher) -> None:
    publisher.content, publisher.cuts = CONTENT, [40_000, 0, 0, 0, 0, 0]
    wanted = pinned(publisher.url)
    with pytest.raises(ToolError, match="goes on after the 40000 bytes"):
        fetch(root, wanted)
    assert not (root / wanted.file).exists()
    assert state_of(root, wanted) == "partial"
    fetch(root, wanted)
    assert "bytes=40000-" in publisher.requests  # DVC's own are those without a part
    assert sha256(root / wanted.file) == wanted.sha256


def test_parts_that_make_a_wrong_file_are_thrown_away_and_it_is_downloaded_once_more(
    root: Path, publisher
) -> None:
    publisher.content, publisher.cuts = b"X" * len(CONTENT), [40_000, 0, 0, 0, 0, 0]
    publisher.etag = '"the same for both"'
    wanted = pinned(publisher.url)
    with pytest.raises(ToolError):
        fetch(root, wanted)
    publisher.content = CONTENT
    fetch(root, wanted)
    assert sha256(root / wanted.file) == wanted.sha256


def test_a_host_that_is_not_there_is_answered_with_what_to_put_where(root: Path) -> None:
    wanted = pinned("http://127.0.0.1:9/weights.pt")
    with pytest.raises(ToolError) as caught:
        fetch(root, wanted)
    for word in (wanted.url, wanted.sha256, str(wanted.size), wanted.file, "by hand"):
        assert str(word) in str(caught.value)


def test_a_file_that_was_put_there_by_hand_needs_no_network(root: Path) -> None:
    wanted = pinned("http://127.0.0.1:9/weights.pt")
    (root / wanted.file).parent.mkdir(parents=True)
    (root / wanted.file).write_bytes(CONTENT)
    done = fetch(root, wanted)
    assert (done.downloaded, done.tracked) == (False, "add")
    assert record(root)["outs"][0]["md5"] == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


def test_another_file_in_that_place_is_not_overwritten(root: Path, publisher) -> None:
    publisher.content = CONTENT
    wanted = pinned(publisher.url)
    (root / wanted.file).parent.mkdir(parents=True)
    (root / wanted.file).write_bytes(b"mine")
    with pytest.raises(DataError, match=rf"has 4 bytes .*{wanted.sha256} are pinned.*left as it"):
        fetch(root, wanted)
    assert (root / wanted.file).read_bytes() == b"mine"
    assert state_of(root, wanted) == "altered"
    assert publisher.requests == []


def test_two_commands_do_not_write_one_file(root: Path, publisher) -> None:
    publisher.content = CONTENT
    lock = root / ".cache/weights/tiny.pt.part.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(ConflictError, match="another process fetches tiny"):
        fetch(root, pinned(publisher.url))
    assert publisher.requests == []


def test_weights_that_nobody_pinned_are_not_fetched(root: Path, publisher) -> None:
    wanted = pinned(publisher.url, size=None, sha256=None)
    with pytest.raises(InputError, match="facemodels weights pin tiny"):
        fetch(root, wanted)
    with pytest.raises(InputError, match="facemodels weights pin tiny"):
        initial_weights("pretrained", wanted, model="x")
    assert publisher.requests == []


def test_a_training_starts_from_fetched_weights_and_names_the_command_before(
    root: Path, publisher
) -> None:
    publisher.content = CONTENT
    wanted = pinned(publisher.url)
    with pytest.raises(InputError, match="facemodels weights fetch tiny"):
        initial_weights("pretrained", wanted, model="x")
    fetch(root, wanted)
    found = initial_weights("pretrained", wanted, model="x")
    assert found is not None
    assert found.path == Path(wanted.file)
    assert found.record == {
        "kind": "pretrained", "name": "tiny.pt", "size": len(CONTENT), "sha256": wanted.sha256,
        "license": "MIT", "training_dataset": "people", "source": publisher.url,
    }  # fmt: skip
    (root / wanted.file).chmod(0o644)
    (root / wanted.file).unlink()
    (root / wanted.file).write_bytes(CONTENT[:-1] + b"X")
    with pytest.raises(DataError, match="it was altered"):
        initial_weights("pretrained", wanted, model="x")


# --- the commands -------------------------------------------------------------------------


@pytest.fixture
def project(root: Path, publisher) -> Path:
    """A repository whose conf has one download that is pinned and one that is not."""
    publisher.content = CONTENT
    values = load_yaml(ROOT / "params.yaml")
    unpinned = pinned(publisher.url, size=None, sha256=None, file="data/weights/other.pt")
    values["weights"] = {
        "tiny": pinned(publisher.url).model_dump(), "other": unpinned.model_dump(),
    }  # fmt: skip
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    (root / "conf").mkdir()
    (root / "conf/weights.yaml").write_text(
        "# @package weights\nother:\n  url: x\n  size: null    # not pinned\n  sha256: null\n"
    )
    return root


def run(*arguments: str, **options: object):
    return CliRunner().invoke(main, ["weights", *arguments], **options)  # type: ignore[arg-type]


def test_the_command_says_what_it_would_do_and_does_it(project: Path, publisher) -> None:
    planned = run("fetch", "tiny", "--dry-run")
    assert (
        f"data/weights/tiny.pt: absent; {len(CONTENT)} bytes of {publisher.url}" in planned.stdout
    )
    assert publisher.requests == []
    done = run("fetch", "tiny", "--json")
    assert done.exit_code == 0, done.output
    (result,) = json.loads(done.stdout)
    assert result["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert f"download tiny, bytes: {len(CONTENT)}/{len(CONTENT)}" in done.stderr
    assert "git add data/weights/.gitignore data/weights/tiny.pt.dvc" in done.stderr


def test_the_command_answers_an_unknown_name_with_those_that_exist(project: Path) -> None:
    done = run("fetch", "nonesuch")
    assert done.exit_code == 2
    assert "it has other, tiny" in done.stderr


def test_a_pin_is_shown_and_written_only_after_a_yes(project: Path) -> None:
    digest, conf = hashlib.sha256(CONTENT).hexdigest(), project / "conf/weights.yaml"
    before = conf.read_text()
    refused = run("pin", "other", input="n\n")
    assert refused.exit_code == 2
    assert digest in refused.stderr
    assert "trust on first use" in refused.stderr
    assert conf.read_text() == before
    assert not (project / "data/weights/other.pt").exists()
    done = run("pin", "other", "--yes")
    assert done.exit_code == 0, done.output
    assert conf.read_text() == (
        f"# @package weights\nother:\n  url: x\n  size: {len(CONTENT)}\n  sha256: {digest}\n"
    )
    assert (project / "data/weights/other.pt").read_bytes() == CONTENT
    assert (project / "data/weights/other.pt.dvc").is_file()


def test_what_is_pinned_is_not_pinned_again(project: Path, publisher) -> None:
    done = run("pin", "tiny", "--yes")
    assert done.exit_code == 2
    assert "weights fetch tiny" in done.stderr
    assert publisher.requests == []


def test_the_list_shows_downloads_and_the_weights_of_distributions(
    project: Path, publisher
) -> None:
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows["tiny"]["state"] == "absent"
    assert rows["other"]["state"] == "not pinned"
    assert rows["pnet.pt"]["models"] == ["detection-mtcnn"]
    predictor = rows["shape_predictor_68_face_landmarks.dat"]
    assert (predictor["state"], predictor["license"]) == (
        "present", "LicenseRef-300-W-non-commercial",
    )  # fmt: skip


# --- conf/weights.yaml --------------------------------------------------------------------


def test_the_pins_of_conf_have_a_licence_that_a_release_may_have() -> None:
    allowed = yaml.safe_load((ROOT / "conf/registry.yaml").read_text())["licenses"]
    weights = load(ROOT / "params.yaml").weights
    assert {one.license for one in weights.values()} <= set(allowed)
    assert weights["facenet-vggface2"].sha256 is not None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"sha256": None}, "pinned together"),
        ({"file": "/etc/passwd"}, "file"),
        ({"file": "data/weights/../x.pt"}, "file"),
        ({"url": "ftp://example.org/x"}, "url"),
        ({"sha256": "F" * 64}, "sha256"),
    ],
)
def test_a_pin_that_could_not_be_held_is_refused(change: dict, word: str) -> None:
    with pytest.raises(ParamsError, match=word):
        pinned("https://example.org/x.pt", **change)


def test_pinning_keeps_the_rest_of_the_file() -> None:
    text = (ROOT / "conf/weights.yaml").read_text()
    found = (
        load(ROOT / "params.yaml")
        .weights["facenet-casia"]
        .model_copy(update={"size": 7, "sha256": "a" * 64})
    )
    edited = edit_pin(text, found)
    assert len(edited.splitlines()) == len(text.splitlines())
    changed = [
        (one, other)
        for one, other in zip(text.splitlines(), edited.splitlines(), strict=True)
        if one != other
    ]
    assert [other for _, other in changed] == ["  size: 7", f"  sha256: {'a' * 64}"]
