"""Signed tags. Git signs and checks them, with SSH or GPG as the user's configuration says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from facemodels.errors import InputError, RuleError, ToolError
from facemodels.git import Git, GitError
from facemodels.registry.audit import AuditFinding
from facemodels.registry.events import Event
from facemodels.registry.policy import RegistryPolicy, role_of

_SSH = re.compile(r'^Good "git" signature for (?P<who>\S+) with ', re.MULTILINE)
# The last field is the primary key, also where a subkey signed.
_GPG = re.compile(r"^\[GNUPG:\] VALIDSIG .* (?P<who>[0-9A-F]{40})$", re.MULTILINE)


def own_principal(git: Git, root: Path, policy: RegistryPolicy) -> str:
    """The signer of this clone: the principal of the key that git would sign with.

    Raises:
        InputError: no key is set, or the allowed signers do not know it.
        ToolError: GPG cannot be run.
    """
    key = git.config("user.signingKey")
    if not key:
        raise InputError(
            "the registry asks for signed tags and git knows no key of yours.",
            "Set git's gpg.format to ssh and user.signingKey to your public key.",
        )
    if git.config("gpg.format") != "ssh":
        return _fingerprint(git, key)
    allowed = root / policy.allowed_signers
    text = key.removeprefix("key::") if key.startswith(("key::", "ssh-")) else _public(key)
    blob = text.split()[1] if len(text.split()) > 1 else ""
    lines = allowed.read_text(encoding="utf-8").splitlines() if allowed.is_file() else []
    for line in lines:
        words = line.split()
        if blob and blob in words and not line.startswith("#"):
            return words[0].split(",")[0]  # the first that git tries, too
    raise InputError(
        f"your key {key} is not in {policy.allowed_signers}.",
        "Have it added there, with your address in front.",
    )


def _public(key: str) -> str:
    path = Path(os.path.expanduser(key))  # noqa: PTH111  (git's own rule for `~`)
    public = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
    try:
        return public.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{public} cannot be read: {error}.", "Check `git config user.signingKey`."
        ) from error


def _fingerprint(git: Git, key: str) -> str:
    import subprocess

    program = git.config("gpg.program") or "gpg"
    try:
        done = subprocess.run(
            [program, "--batch", "--with-colons", "--list-secret-keys", "--", key],
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    except OSError as error:
        raise ToolError(
            f"{program} cannot be run: {error}.", "Install GnuPG, or correct git's gpg.program."
        ) from error
    match = re.search(r"^fpr:+([0-9A-F]{40}):", done.stdout, re.MULTILINE)
    if done.returncode != 0 or match is None:
        raise InputError(f"GPG has no secret key {key}.", "Check `git config user.signingKey`.")
    return match[1]


def check(
    git: Git, root: Path, policy: RegistryPolicy, events: Iterable[Event]
) -> list[AuditFinding]:
    """Find events that are not signed by somebody who has the role for them."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = pool.map(lambda event: _check(git, root, policy, event), events)
    return [finding for finding in found if finding is not None]


def _check(git: Git, root: Path, policy: RegistryPolicy, event: Event) -> AuditFinding | None:
    if "-----BEGIN " not in event.message:
        return AuditFinding("unsigned", event.tag, "it carries no signature")
    who = principal(git, root, policy, event.object)
    if who is None:
        return AuditFinding("unsigned", event.tag, "its signature is not of an allowed signer")
    role = role_of(event.name.act)  # the tag's act is what counts, whatever its record calls it
    if not policy.may(who, role):
        return AuditFinding("role", event.tag, f"{who} signed it and may not {role}")
    return None


def require_known(git: Git, policy: RegistryPolicy, oid: str) -> str:
    """Check a new tag's signature as the audit will, before the tag is pushed; give its principal.

    Raises:
        RuleError: the signer is not allowed.
    """
    who = principal(git, git.root, policy, oid)
    if who is None:
        raise RuleError(
            "your signature is not of an allowed signer, or the key's time is over.",
            f"See {policy.allowed_signers}; nothing was changed.",
        )
    return who


def principal(git: Git, root: Path, policy: RegistryPolicy, oid: str) -> str | None:
    """The principal who signed a tag object; None if the policy knows no such signer."""
    signers = f"gpg.ssh.allowedSignersFile={root / policy.allowed_signers}"
    try:
        # git reports the signature on standard error, and --raw makes it GPG's own words.
        told = git.messages("-c", signers, "verify-tag", "--raw", oid)
    except GitError:
        return None
    match = _GPG.search(told) or _SSH.search(told)
    return match["who"] if match else None
