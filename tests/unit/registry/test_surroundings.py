"""What a user has around a clone: settings that name the tagger, and hooks of his own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from facemodels.errors import ToolError
from facemodels.registry.policy import RegistryPolicy, Role

from .conftest import DETECTOR, V1, Clone, move, register

WORK = "[user]\n\tname = Jürgen\n\temail = work@example.invalid\n"


def _hook(folder: Path, name: str, script: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("case", ["remote's url", "linked worktree", "of this call"])
def test_the_tagger_is_resolved_once_in_the_clone(
    empty: Clone, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NAME", "EMAIL"):
        monkeypatch.delenv(f"GIT_COMMITTER_{name}")
    (tmp_path / "work.cfg").write_text(WORK, encoding="utf-8")
    clone, include = empty, f"path = {tmp_path}/work.cfg\n"
    everybody = tmp_path / "gitconfig"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(everybody))
    settings = "[user]\n\tname = Else\n\temail = private@example.invalid\n"
    if case == "remote's url":
        empty.run("remote", "add", "office", "https://git.office.invalid/models")
        settings += f'[includeIf "hasconfig:remote.*.url:https://git.office.invalid/**"]\n{include}'
    elif case == "linked worktree":
        empty.run("worktree", "add", "--quiet", "../Beside")
        clone = Clone(tmp_path / "Beside")
        settings += f'[includeIf "gitdir/i:**/WORKTREES/beside"]\n{include}'
    else:  # `git -c` of an alias or a hook that calls us
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "include.path")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"{tmp_path}/work.cfg")
    everybody.write_text(settings, encoding="utf-8")
    clone.policy = RegistryPolicy(remote="")
    event = clone.repository.add(register(V1, clone.run("rev-parse", "HEAD")))
    assert event.tagger == "Jürgen <work@example.invalid>"
    assert clone.audit() == []


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")
def test_a_key_that_a_condition_names_signs(empty: Clone, tmp_path: Path) -> None:
    key = tmp_path / "key"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)]
    subprocess.run(make, check=True)
    (tmp_path / "work.cfg").write_text(f"[gpg]\n\tformat = ssh\n[user]\n\tsigningKey = {key}\n")
    empty.run("config", "includeIf.onbranch:ma*.path", str(tmp_path / "work.cfg"))
    (empty.root / "conf").mkdir()
    allowed = f"me@example.invalid {key.with_suffix('.pub').read_text()}"
    (empty.root / "conf/allowed_signers").write_text(allowed)
    roles: dict[str, tuple[Role, ...]] = {"me@example.invalid": ("register",)}
    empty.policy = RegistryPolicy(remote="", signatures="required", roles=roles)
    assert "BEGIN SSH SIGNATURE" in empty.register(V1).message


@pytest.mark.parametrize("hook", ["pre-push", "post-checkout", "reference-transaction"])
def test_hooks_of_the_user_do_not_run_or_are_named(
    clone: Clone, tmp_path: Path, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`git push` runs one, `git tag` none; git's own locking of refs cannot do without another."""
    fresh = clone.fresh()
    fresh.run("config", "core.hooksPath", str(tmp_path / "hooks"))
    _hook(tmp_path / "hooks", hook, f"echo ran >> {tmp_path}/ran; echo 'not now' >&2; exit 1")
    if hook == "reference-transaction":
        with pytest.raises(ToolError, match="reference-transaction hook of this clone") as caught:
            fresh.add(move(DETECTOR, "production"))
        assert "is done on origin" in caught.value.what
        shutil.rmtree(tmp_path / "hooks")
        assert fresh.repository.sync() >= 0
    else:
        fresh.add(move(DETECTOR, "production"))
        assert not (tmp_path / "ran").exists()
    last = fresh.chain()[-1]
    assert (last.act, last.record and last.record["model_id"]) == ("promote", DETECTOR)
    assert fresh.audit() == []
