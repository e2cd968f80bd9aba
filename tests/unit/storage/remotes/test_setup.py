"""Setting up remotes in .dvc/config."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from dvc.config import Config

from facemodels.errors import InputError
from facemodels.storage.remotes import remote as module
from facemodels.storage.remotes.remote import Remote
from facemodels.storage.remotes.setup import plan

BEFORE = """\
# The team's own words.
[core]
    analytics = false  # nobody's business
    remote = old
['remote "old"']
    url = s3://old-bucket
    verify = true
# Vega inside the page
[plots]
    html_template = plots.html
"""
S3 = Remote("storage", "s3://models/faces", "https://s3.example.org", "eu-west-1")
BACKUP = Remote("backup", "s3://models-backup/faces", "https://s3.example.org", "eu-west-1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(BEFORE)
    return tmp_path


def text(root: Path) -> str:
    return (root / ".dvc/config").read_text()


def settings(root: Path) -> dict[str, Any]:
    return dict(Config(str(root / ".dvc")))


def test_dvc_reads_both_remotes_with_safe_defaults(root: Path) -> None:
    plan(root, [S3, BACKUP]).apply()
    config = settings(root)
    assert config["core"]["remote"] == "storage"
    for remote in (S3, BACKUP):
        written = config["remote"][remote.name]
        assert written["url"] == remote.url
        assert written["endpointurl"] == remote.endpoint_url
        assert written["region"] == remote.region
        assert written["verify"] is True


def test_comments_and_other_settings_stay(root: Path) -> None:
    plan(root, [S3, BACKUP]).apply()
    kept = [line.split() for line in text(root).splitlines()]
    for line in BEFORE.splitlines():
        if "remote = old" not in line:
            assert line.split() in kept, line
    config = settings(root)
    assert config["remote"]["old"]["url"] == "s3://old-bucket"
    assert config["plots"]["html_template"] == "plots.html"


def test_a_changed_default_is_said_aloud(root: Path) -> None:
    assert any("old" in note for note in plan(root, [S3]).notes)


def test_the_second_time_changes_nothing(root: Path) -> None:
    plan(root, [S3, BACKUP]).apply()
    before, info = text(root), (root / ".dvc/config").stat().st_mtime_ns
    change = plan(root, [S3, BACKUP])
    assert change.diff() == ""
    change.apply()
    assert (text(root), (root / ".dvc/config").stat().st_mtime_ns) == (before, info)


def test_a_plan_writes_nothing(root: Path) -> None:
    change = plan(root, [S3, BACKUP])
    assert text(root) == BEFORE
    assert "+    url = s3://models/faces" in change.diff() or "url = s3://models" in change.diff()


def test_an_existing_remote_elsewhere_needs_force_and_forgets_what_was_said_of_the_old(
    root: Path,
) -> None:
    plan(root, [S3, BACKUP]).apply()
    before = text(root)
    new = Remote("storage", "s3://new-bucket/faces")
    with pytest.raises(InputError, match="--force"):
        plan(root, [new])
    assert text(root) == before
    begun = plan(root, [new], in_use=False)  # nothing is registered that could lie there
    assert any("what lies there stays there" in note for note in begun.notes)
    plan(root, [new], force=True).apply()
    written = settings(root)["remote"]["storage"]
    assert written["url"] == "s3://new-bucket/faces"
    assert "endpointurl" not in written
    assert "region" not in written


def test_options_that_were_added_by_hand_stay(root: Path) -> None:
    plan(root, [S3, BACKUP]).apply()
    changed = text(root).replace("region = eu-west-1", "region = eu-west-1\njobs = 3")
    (root / ".dvc/config").write_text(changed)
    plan(root, [S3]).apply()
    assert settings(root)["remote"]["storage"]["jobs"] == 3


def test_verify_is_switched_on_where_it_was_off(root: Path) -> None:
    plan(root, [S3, BACKUP]).apply()
    (root / ".dvc/config").write_text(text(root).replace("verify = true", "verify = false"))
    plan(root, [S3]).apply()
    assert settings(root)["remote"]["storage"]["verify"] is True


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIAEXAMPLE:hunter2secret@models/faces",
        "s3://hunter2secret@models",
        "s3://models/faces?X-Amz-Signature=hunter2secret",
        "azure://models/faces?sv=2020&sig=hunter2secret",
        "gs://models#hunter2secret",
    ],
)
def test_a_url_with_a_credential_is_refused_and_not_repeated(root: Path, url: str) -> None:
    for remotes in ([Remote("storage", url)], [S3, Remote("backup", url)]):
        with pytest.raises(InputError) as caught:
            plan(root, remotes)
        assert "hunter2secret" not in str(caught.value)
        assert "AKIAEXAMPLE" not in str(caught.value)
        assert "config.local" in str(caught.value)
    assert text(root) == BEFORE


def test_an_endpoint_with_a_credential_is_refused_and_not_repeated(root: Path) -> None:
    remote = Remote("storage", "s3://models", "https://user:hunter2secret@s3.example.org")
    with pytest.raises(InputError) as caught:
        plan(root, [remote])
    assert "hunter2secret" not in str(caught.value)


@pytest.mark.parametrize("option", sorted(module.SECRETS - {"passphrase", "oss_key_id"}))
def test_a_file_that_holds_a_credential_is_refused_by_the_name_of_the_option(
    root: Path, option: str
) -> None:
    held = BEFORE.replace("url = s3://old", f"{option.upper()} = hunter2secret\n    url = s3://old")
    (root / ".dvc/config").write_text(held)
    with pytest.raises(InputError, match=rf'remote "old".*{option}') as caught:
        plan(root, [S3])
    assert "hunter2secret" not in str(caught.value)
    assert "Revoke" in str(caught.value)
    assert text(root) == held


@pytest.mark.parametrize(
    ("storage", "backup"),
    [
        ("s3://models/faces", "s3://models/faces"),
        ("s3://models/faces", "s3://models/faces/"),
        ("s3://models", "s3://models/backup"),
        ("s3://models/faces/deep", "s3://models/faces"),
        ("azure://models/a", "azure://models/a"),
    ],
)
def test_a_backup_in_the_storage_is_refused(root: Path, storage: str, backup: str) -> None:
    with pytest.raises(InputError, match="same place"):
        plan(root, [Remote("storage", storage), Remote("backup", backup)])


def test_a_backup_is_judged_by_what_is_set_up_already(root: Path) -> None:
    plan(root, [Remote("storage", "s3://models/faces")]).apply()
    with pytest.raises(InputError, match="same place"):
        plan(root, [Remote("backup", "s3://models/faces")])


def test_the_same_name_at_another_endpoint_is_another_place(root: Path) -> None:
    here = Remote("storage", "s3://models", "https://one.example.org")
    there = Remote("backup", "s3://models", "https://other.example.org")
    plan(root, [here, there]).apply()
    assert settings(root)["remote"]["backup"]["endpointurl"] == "https://other.example.org"


def test_names_that_only_begin_alike_are_two_places(root: Path) -> None:
    plan(root, [Remote("storage", "s3://models"), Remote("backup", "s3://models-backup")]).apply()
    assert set(settings(root)["remote"]) == {"old", "storage", "backup"}


def test_a_shared_bucket_and_a_missing_backup_are_said_aloud(root: Path) -> None:
    notes = plan(root, [Remote("storage", "s3://m/a"), Remote("backup", "s3://m/b")]).notes
    assert any("share a bucket" in note for note in notes)
    assert any("no backup" in note for note in plan(root, [S3]).notes)


@pytest.mark.parametrize("url", ["ssh://host/path", "https://host/path", "s3://", "  "])
def test_other_places_are_refused(root: Path, url: str) -> None:
    with pytest.raises(InputError):
        plan(root, [Remote("storage", url)])


@pytest.mark.parametrize(
    ("url", "option"),
    [("gs://models", {"region": "x"}), ("azure://models", {"endpoint_url": "https://x.y"}),
     ("/srv/models", {"account_name": "x"})],
)  # fmt: skip
def test_an_option_of_another_cloud_is_refused(
    root: Path, url: str, option: dict[str, str]
) -> None:
    with pytest.raises(InputError, match="no such option"):
        plan(root, [Remote("storage", url, **option)])


def test_google_cloud_and_azure_are_written_as_dvc_reads_them(root: Path) -> None:
    azure = Remote("storage", "azure://models/faces", account_name="team")
    google = Remote("backup", "gs://models/faces", "https://storage.example.org")
    plan(root, [azure, google]).apply()
    remotes = settings(root)["remote"]
    assert remotes["storage"]["account_name"] == "team"
    assert remotes["backup"] == {
        "url": "gs://models/faces", "endpointurl": "https://storage.example.org", "verify": True,
        "allow_anonymous_login": False,
    }  # fmt: skip


def test_a_folder_is_found_from_wherever_dvc_is_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "deep").mkdir()
    monkeypatch.chdir(root / "deep")
    plan(root, [Remote("storage", "../../weights"), Remote("backup", str(root / "b"))]).apply()
    remotes = settings(root)["remote"]
    assert Path(remotes["storage"]["url"]).resolve() == root.parent / "weights"
    assert Path(remotes["backup"]["url"]) == root / "b"


def test_unencrypted_lines_are_named_unless_they_stay_on_this_machine(root: Path) -> None:
    def notes(endpoint: str) -> str:
        return " ".join(plan(root, [Remote("storage", "s3://m", endpoint)]).notes)

    assert "not encrypted" in notes("http://minio.example.org:9000")
    for endpoint in ("https://minio.example.org", "http://127.0.0.1:9000", "http://localhost:1"):
        assert "not encrypted" not in notes(endpoint)


def test_a_plugin_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.PLUGINS, "gs", "dvc_gs_that_nobody_installed")  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"facemodels\[gs\]"):
        module.require_plugin("gs")
    module.require_plugin("s3")
    module.require_plugin("")


def test_a_folder_without_dvc_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dvc init"):
        plan(tmp_path, [S3])


def test_a_credential_in_a_url_that_is_there_already_is_noticed() -> None:
    held = BEFORE.replace("s3://old-bucket", "https://user:hunter2secret@old.example.org")
    assert module.credentials_in(held) == ['remote "old": url']
    assert module.credentials_in(BEFORE) == []
