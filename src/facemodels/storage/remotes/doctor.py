"""What is wrong with the remotes, why it matters, and what to do about it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from facemodels.errors import FacemodelsError, InputError, IntegrityError
from facemodels.git import Git, GitError
from facemodels.storage.backup.manifest import read_latest
from facemodels.storage.remotes import setup
from facemodels.storage.stores.errors import Patience
from facemodels.storage.stores.named_files import Shelf
from facemodels.storage.stores.object_store import Place, open_place
from facemodels.storage.stores.probe import PATIENCE, Reach, answers, reach

Level = Literal["problem", "unknown"]
SKEW_S = 300  # S3 refuses requests whose clock is 15 minutes off
BACKUP_DAYS = 7
_PATIENCE = Patience(seconds=10)
_NAMED = 3  # odd names that a finding lists
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_EVERYBODY = ("/groups/global/AllUsers", "/groups/global/AuthenticatedUsers")


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or that could not be looked at.

    Attributes:
        kind: a word for programs, for example `versioning-off`.
        where: the remote's name, or the file.
        level: `problem`, or `unknown` where the rights or the store's abilities end.
        text: what is wrong and why it matters.
        remedy: what to do.
    """

    kind: str
    where: str
    level: Level
    text: str
    remedy: str


@dataclass(frozen=True)
class Checkup:
    """How the doctor looks.

    Attributes:
        remote: look at this one alone; "" looks at the default one and the backup.
        backup: name of the second remote.
        backup_days: age from which a backup is too old.
        now: seconds since 1970.
    """

    remote: str = ""
    backup: str = setup.BACKUP
    backup_days: float = BACKUP_DAYS
    now: Callable[[], float] = time.time


def examine(root: Path, checkup: Checkup | None = None) -> list[Finding]:
    """Everything that is wrong, in the order in which to mend it.

    Args:
        root: of the repository.
        checkup: how to look.

    Raises:
        InputError: DVC cannot read its configuration, or there is no such remote.
    """
    asked = checkup or Checkup()
    config = _configuration(root)
    default = str(config["core"].get("remote") or "")
    remotes: Mapping[str, Mapping[str, Any]] = config["remote"]
    if asked.remote and asked.remote not in remotes:
        raise InputError(f"There is no remote {asked.remote}.", "See `dvc remote list`.")
    findings = list(_files(root))
    names = [asked.remote] if asked.remote else [default, asked.backup]
    if not asked.remote:
        findings += _arrangement(default, remotes, asked.backup)
    for name in dict.fromkeys(names):
        if name in remotes:
            findings += _remote(root, name, remotes[name], asked)
    return findings


def _configuration(root: Path) -> Mapping[str, Any]:
    from dvc.config import Config, ConfigError

    try:
        config: Mapping[str, Any] = Config(str(root / ".dvc"))
    except ConfigError as error:
        raise InputError(f"DVC cannot read its configuration: {error}.", "Correct it.") from error
    return config


# --- the files ---------------------------------------------------------------------------


def _files(root: Path) -> Iterator[Finding]:
    path = root / setup.CONFIG
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for option in setup.credentials_in(text):
        yield Finding(
            "credentials-in-git", str(setup.CONFIG), "problem",
            f"{option} is in a file that Git keeps, for everybody and for ever.",
            "Revoke it at the cloud, take it out of the file, and set a new one in the "
            "environment or with `dvc remote modify --local`.",
        )  # fmt: skip
    try:
        tracked = Git(root).text("ls-files", ".dvc/config.local")
    except GitError:
        return  # no repository of Git's
    if tracked:
        yield Finding(
            "credentials-in-git", ".dvc/config.local", "problem",
            "The file for credentials is tracked by Git.",
            "`git rm --cached .dvc/config.local`, list it in .dvc/.gitignore, revoke what it held.",
        )  # fmt: skip


def _arrangement(
    default: str, remotes: Mapping[str, Mapping[str, Any]], backup: str
) -> Iterator[Finding]:
    if not default or default not in remotes:
        yield Finding(
            "no-remote", str(setup.CONFIG), "problem",
            f"The default remote {default} is not defined." if default else
            "There is no default remote: weights stay on this machine.",
            "Run `facemodels storage init --url s3://bucket/prefix --backup-url …`.",
        )  # fmt: skip
    if backup not in remotes:
        yield Finding(
            "no-backup", str(setup.CONFIG), "problem",
            f"There is no remote {backup}: what the storage loses is lost.",
            "Run `facemodels storage init --backup-url s3://another-bucket/prefix`.",
        )  # fmt: skip
    elif default in remotes and setup.overlap(remotes[default], remotes[backup]):
        yield Finding(
            "backup-in-storage", backup, "problem",
            f"The backup is in the same place as {default}: whoever loses one loses both.",
            "`facemodels storage init --force --backup-url` with another bucket, at best of "
            "another account.",
        )  # fmt: skip


# --- one remote --------------------------------------------------------------------------


def _remote(
    root: Path, name: str, settings: Mapping[str, Any], asked: Checkup
) -> Iterator[Finding]:
    url = str(settings["url"])
    if not settings.get("verify"):
        yield Finding(
            "verify-off", name, "problem",
            "`verify` is off: DVC delivers damaged files without a word.",
            f"`dvc remote modify {name} verify true`",
        )  # fmt: skip
    if setup.is_open_line(str(settings.get("endpointurl") or "")):
        yield Finding(
            "open-line", name, "problem",
            "The endpoint is spoken to without encryption.",
            f"`dvc remote modify {name} endpointurl https://…`",
        )  # fmt: skip
    try:
        scheme = setup.scheme_of(url)
    except InputError as error:
        yield Finding("not-examined", name, "unknown", error.what, error.remedy)
        return
    if not setup.has_plugin(scheme):
        yield Finding(
            "plugin-missing", name, "problem",
            f"DVC's plugin for {scheme}:// is not installed here.",
            f"pip install 'facemodels[{scheme}]'",
        )  # fmt: skip
        return
    place = _open(root, name, scheme)
    reached = reach(place)
    yield from _unreached(name, url, reached, asked)
    if reached.kind != "ok":
        return
    if scheme == "s3":
        yield from _s3(place, own=bool(settings.get("endpointurl")))
    elif scheme:
        yield Finding(
            "not-examined", name, "unknown",
            f"Encryption, versioning and public access of {scheme}:// are not looked at; both "
            "clouds encrypt always.",
            "docs/storage.md says what to set: versioning (soft delete), no public access.",
        )  # fmt: skip
    yield from _strangers(place)
    if name == asked.backup:
        yield from _age(place, asked)


def _open(root: Path, name: str, scheme: str) -> Place:
    patience = {"remote": {name: dict(PATIENCE)}} if scheme == "s3" else None
    return open_place(root, name, config=patience, patience=_PATIENCE)


def _unreached(name: str, url: str, reached: Reach, asked: Checkup) -> Iterator[Finding]:
    off = abs(reached.clock.timestamp() - asked.now()) if reached.clock else 0.0
    if reached.kind == "skewed" or off > SKEW_S:
        told = f" by {off:.0f} s" if reached.clock else ""
        yield Finding(
            "clock-skew", name, "problem",
            f"This machine's clock and the store's differ{told}; S3 refuses requests 15 minutes "
            "off, and the registry's events get wrong dates.",
            "Set the clock: `timedatectl set-ntp true`.",
        )  # fmt: skip
    remedies = {
        "absent": ("bucket-absent", f"Make it, or correct the URL {url}."),
        "denied": (
            "access-denied",
            "Check the credentials in the environment or .dvc/config.local; `facemodels storage "
            "init --print-policy reader` prints the rights that are needed.",
        ),
        "unreachable": ("unreachable", "Check the network, the URL and the endpoint."),
    }
    if reached.kind in remedies:
        kind, remedy = remedies[reached.kind]
        yield Finding(kind, name, "problem", f"{url} cannot be read: {reached.text}", remedy)


def _strangers(place: Place) -> Iterator[Finding]:
    """What lies among the objects and is none: nobody would find it, and nobody checks it."""
    try:
        odd = place.listing().foreign
    except FacemodelsError as error:
        yield Finding("unreachable", place.name, "problem", error.what, error.remedy)
        return
    if odd:
        more = f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
        yield Finding(
            "no-objects", place.name, "problem",
            f"{len(odd)} files below {place.url} are no objects of DVC's: "
            f"{', '.join(odd[:_NAMED])}{more}.",
            "Nothing needs them, unless somebody put them there by hand; look, then delete them.",
        )  # fmt: skip


def _age(place: Place, asked: Checkup) -> Iterator[Finding]:
    run = "Run `facemodels storage backup`, and let cron or CI run it (docs/storage.md)."
    try:
        latest = read_latest(Shelf(place, _PATIENCE))
    except IntegrityError as error:
        yield Finding("backup-damaged", place.name, "problem", error.what, run)
        return
    if latest is None:
        yield Finding("backup-empty", place.name, "problem", "No backup was ever complete.", run)
        return
    days = (asked.now() - _seconds(latest.made_at)) / 86400
    if days > asked.backup_days:
        yield Finding(
            "backup-old", place.name, "problem",
            f"The newest backup is {days:.1f} days old, of {latest.made_at}; "
            f"{asked.backup_days:g} are allowed.", run,
        )  # fmt: skip


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


# --- S3 ----------------------------------------------------------------------------------


def _s3(place: Place, *, own: bool) -> Iterator[Finding]:
    bucket = str(place.odb.path).partition("/")[0]
    ask = place.odb.fs.fs.call_s3
    codes: dict[str, str] = {}
    yield from _encryption(place.name, bucket, ask, codes)
    yield from _versioning(place.name, bucket, ask, codes)
    yield from _public(place.name, bucket, ask, codes)
    yield from _blocks(place.name, bucket, ask, codes, own=own)
    unknown = sorted(question for question, code in codes.items() if code != _CLEAR)
    if unknown:
        told = ", ".join(f"{question} ({codes[question]})" for question in unknown)
        yield Finding(
            "not-permitted", place.name, "unknown",
            f"{bucket} did not answer about: {told}.",
            "Run it with the releaser's rights (`facemodels storage init --print-policy "
            "releaser`), or look in the store's own console.",
        )  # fmt: skip


_CLEAR = ""  # answered


def _encryption(
    name: str, bucket: str, ask: Callable[..., Any], codes: dict[str, str]
) -> Iterator[Finding]:
    rules: Sequence[Any] = ()
    with answers(codes, "encryption"):
        answer = ask("get_bucket_encryption", Bucket=bucket)
        rules = answer["ServerSideEncryptionConfiguration"].get("Rules", ())
        codes["encryption"] = _CLEAR
    if codes["encryption"] == "ServerSideEncryptionConfigurationNotFoundError":
        codes["encryption"] = _CLEAR
    if codes["encryption"] == _CLEAR and not rules:
        yield Finding(
            "encryption-off", name, "problem",
            f"{bucket} does not encrypt what it stores.",
            f"`aws s3api put-bucket-encryption --bucket {bucket} "
            "--server-side-encryption-configuration '{\"Rules\": "
            '[{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}\'`',
        )  # fmt: skip


def _versioning(
    name: str, bucket: str, ask: Callable[..., Any], codes: dict[str, str]
) -> Iterator[Finding]:
    status = ""
    with answers(codes, "versioning"):
        status = str(ask("get_bucket_versioning", Bucket=bucket).get("Status") or "off")
        codes["versioning"] = _CLEAR
    if status and status != "Enabled":
        yield Finding(
            "versioning-off", name, "problem",
            f"{bucket} keeps no earlier versions ({status.lower()}): what is overwritten or "
            "deleted by mistake is gone.",
            f"`aws s3api put-bucket-versioning --bucket {bucket} "
            "--versioning-configuration Status=Enabled`, and a lifecycle rule that ends old "
            "versions (docs/storage.md).",
        )  # fmt: skip


def _public(
    name: str, bucket: str, ask: Callable[..., Any], codes: dict[str, str]
) -> Iterator[Finding]:
    told = []
    with answers(codes, "policy"):
        document = json.loads(ask("get_bucket_policy", Bucket=bucket)["Policy"])
        codes["policy"] = _CLEAR
        told += ["its policy" for one in _listed(document.get("Statement")) if _is_open(one)][:1]
    if codes["policy"] in ("NoSuchBucketPolicy", "FileNotFoundError"):
        codes["policy"] = _CLEAR
    with answers(codes, "acl"):
        grants = ask("get_bucket_acl", Bucket=bucket).get("Grants", ())
        codes["acl"] = _CLEAR
        uris = [str(grant.get("Grantee", {}).get("URI", "")) for grant in grants]
        told += ["its ACL" for uri in uris if uri.endswith(_EVERYBODY)][:1]
    if told:
        yield Finding(
            "public", name, "problem",
            f"{bucket} is open to everybody, by {' and '.join(told)}.",
            f"`aws s3api put-public-access-block --bucket {bucket} "
            "--public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,"
            "BlockPublicPolicy=true,RestrictPublicBuckets=true`",
        )  # fmt: skip


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_open(statement: Mapping[str, Any]) -> bool:
    who = statement.get("Principal")
    everybody = who == "*" or (isinstance(who, dict) and "*" in _listed(who.get("AWS")))
    return everybody and statement.get("Effect") == "Allow" and not statement.get("Condition")


def _blocks(
    name: str, bucket: str, ask: Callable[..., Any], codes: dict[str, str], *, own: bool
) -> Iterator[Finding]:
    """Amazon's guard against opening a bucket by mistake; other stores seldom have it."""
    missing: Sequence[str] = ()
    with answers(codes, "public access block"):
        answer = ask("get_public_access_block", Bucket=bucket)["PublicAccessBlockConfiguration"]
        codes["public access block"] = _CLEAR
        missing = [key for key in _BLOCKS if not answer.get(key)]
    if codes["public access block"] == "NoSuchPublicAccessBlockConfiguration":
        codes["public access block"] = _CLEAR
        missing = _BLOCKS
    elif own and codes["public access block"] != _CLEAR:
        del codes["public access block"]
    if missing and not own:
        yield Finding(
            "public-access-unblocked", name, "problem",
            f"{bucket} may be opened to everybody by a mistake: {', '.join(missing)} off.",
            f"`aws s3api put-public-access-block --bucket {bucket} …` with all four true.",
        )  # fmt: skip
