"""Who must have signed is found wherever a command is started."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from facemodels.cli.main import main as cli
from facemodels.errors import InputError, IntegrityError, ParamsError
from facemodels.package.policies import policy_of

ROOT = Path(__file__).resolve().parents[3]

REQUIRED = "required: true\nmethod: key\npublic_key: conf/release.pub\n"


def folder_with(folder: Path, policy: str | None, *, git: bool = True) -> Path:
    """A repository, or the bare files of one, with a folder for a package."""
    (folder / "conf").mkdir(parents=True)
    if git:
        (folder / ".git").mkdir()
    if policy is not None:
        (folder / "conf/signing.yaml").write_text(policy)
    package = folder / "models/landmarks/dlib-v1.0.0"
    package.mkdir(parents=True)
    return package


@pytest.mark.parametrize("git", [True, False])
def test_the_policy_of_the_packages_repository_counts_everywhere(tmp_path: Path, git: bool) -> None:
    package = folder_with(tmp_path / "ours", REQUIRED, git=git)
    (tmp_path / "link").symlink_to(package)
    for here in (tmp_path, tmp_path / "ours", tmp_path / "ours/models", Path("/")):
        for way in (package, package / "model.dat", tmp_path / "link"):
            policy = policy_of(way, here=here)
            assert policy.required
            with pytest.raises(IntegrityError, match="is missing, and the policy requires"):
                policy.check(way, {})


def test_the_policy_of_the_commands_repository_counts_for_every_package(tmp_path: Path) -> None:
    folder_with(tmp_path / "ours", REQUIRED)
    theirs = folder_with(tmp_path / "theirs", "required: false\n")
    assert policy_of(theirs, here=tmp_path / "ours/models").required
    assert not policy_of(theirs, here=tmp_path / "theirs").required
    assert not policy_of(theirs, here=tmp_path).required


def test_a_policy_that_cannot_be_read_is_a_refusal(tmp_path: Path) -> None:
    package = folder_with(tmp_path / "ours", None)
    assert not policy_of(package, here=tmp_path).required
    with pytest.raises(ParamsError, match=r"nowhere\.yaml"):
        policy_of(package, tmp_path / "nowhere.yaml", here=tmp_path)
    (tmp_path / "ours/conf/signing.yaml").symlink_to("gone.yaml")
    with pytest.raises(ParamsError, match=r"signing\.yaml"):
        policy_of(package, here=tmp_path)
    (tmp_path / "ours/conf/signing.yaml").unlink()
    (tmp_path / "ours/conf/signing.yaml").mkdir()
    with pytest.raises(InputError, match=r"signing\.yaml"):
        policy_of(package, here=tmp_path)


def test_no_command_opens_a_package_past_the_policies() -> None:
    """`verify` alone has options of its own for who must have signed."""
    opening = {
        file.name
        for file in (ROOT / "src/facemodels/cli").rglob("*.py")
        if "open_package" in file.read_text()
    }
    assert opening == {"package.py"}


@pytest.mark.parametrize(
    "command",
    [
        ["benchmark", "--model", "{}"],
        ["compare", "--model-a", "{}", "--model-b", "{}"],
        ["quantize", "{}"],
        ["bundle", "--member", "{}", "--member", "{}", "--test-data", ".", "--version", "1.0.0"],
        ["serve", "{}"],
    ],
    ids=lambda command: command[0],
)
def test_an_unsigned_package_is_refused_where_a_signature_is_required(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder_with(tmp_path, REQUIRED)
    shutil.copytree(ROOT / "tests/golden/dlib-v1.0.0", package, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(cli, [part.format(package) for part in command])
    assert told.exit_code == 3
    assert "the policy requires" in " ".join(told.output.split())
