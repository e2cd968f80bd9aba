"""Setting up DVC's remotes: `storage`, the default one, and `backup`.

.dvc/config is in Git, so it never gets a credential; those come from the environment, from the
cloud's own files, or from .dvc/config.local, which Git ignores.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from facemodels.errors import InputError
from facemodels.files import write_text

STORAGE, BACKUP = "storage", "backup"
CONFIG = Path(".dvc", "config")
# Options of DVC's remotes that let whoever reads them in.
SECRETS = frozenset({
    "access_key_id", "secret_access_key", "session_token", "sse_customer_key",
    "connection_string", "sas_token", "account_key", "client_secret", "password", "token",
    "passphrase", "oss_key_id", "oss_key_secret", "gdrive_client_secret",
})  # fmt: skip
PLUGINS: Mapping[str, str] = {"s3": "dvc_s3", "gs": "dvc_gs", "azure": "dvc_azure"}
_ENVIRONMENT: Mapping[str, str] = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or the machine's service account",
    "azure": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and a login",
}
_OPTIONS: Mapping[str, tuple[str, ...]] = {  # what init writes, by scheme
    "s3": ("endpointurl", "region"),
    "gs": ("endpointurl",),
    "azure": ("account_name",),
    "": (),
}
_FLAGS = {"endpointurl": "--endpoint-url", "region": "--region", "account_name": "--account-name"}


@dataclass(frozen=True)
class Remote:
    """A remote as it should be.

    Attributes:
        name: in DVC's configuration.
        url: `s3://bucket/prefix`, `gs://…`, `azure://container/…`, or a folder.
        endpoint_url: of an S3 that is not Amazon's; "" for the cloud's own.
        region: of an S3 bucket; "" for the environment's.
        account_name: of Azure; "" for the environment's.
    """

    name: str
    url: str
    endpoint_url: str = ""
    region: str = ""
    account_name: str = ""

    @property
    def scheme(self) -> str:
        """`s3`, `gs`, `azure`, or "" for a folder."""
        return scheme_of(self.url)

    def options(self) -> dict[str, str]:
        """What DVC's configuration says of it.

        Raises:
            InputError: an option that its scheme does not have.
        """
        given = {
            "endpointurl": self.endpoint_url,
            "region": self.region,
            "account_name": self.account_name,
        }
        odd = [key for key, value in given.items() if value and key not in _OPTIONS[self.scheme]]
        if odd:
            flags = ", ".join(_FLAGS[key] for key in odd)
            raise InputError(f"{flags}: {self.scheme or 'a folder'} has no such option.", "Omit.")
        chosen = {key: value for key, value in given.items() if value}
        return {"url": self.url, **chosen, "verify": "true"}


@dataclass(frozen=True)
class Change:
    """An edit of .dvc/config that was not made yet.

    Attributes:
        path: of the file.
        before: its text.
        after: its text to be.
        notes: what the reader should know.
    """

    path: Path
    before: str
    after: str
    notes: tuple[str, ...]

    def diff(self) -> str:
        """The edit as a unified diff; "" for none."""
        lines = (self.before.splitlines(keepends=True), self.after.splitlines(keepends=True))
        name = CONFIG.as_posix()
        return "".join(difflib.unified_diff(*lines, fromfile=name, tofile=name))

    def apply(self) -> None:
        """Write the file, whole or not at all."""
        if self.after != self.before:
            write_text(self.path, self.after)


def scheme_of(url: str) -> str:
    """`s3`, `gs`, `azure`, or "" for a folder.

    Raises:
        InputError: another scheme.
    """
    scheme, mark, _ = url.partition("://")
    if not mark:
        return ""
    if scheme not in PLUGINS:
        raise InputError(
            f"{scheme}:// is no place for weights here.",
            f"Use {', '.join(f'{name}://' for name in PLUGINS)} or a folder.",
        )
    return scheme


def check_url(url: str) -> None:
    """Stop a URL that is none, or that a credential is in; the message does not repeat it.

    Raises:
        InputError: see above.
    """
    scheme = scheme_of(url)
    if not url.strip():
        raise InputError("The URL is empty.", "Write s3://bucket/prefix.")
    if not scheme:
        return
    parts = urlsplit(url)
    _refuse_secrets(url, scheme)
    if not parts.netloc:
        raise InputError(f"{url} names no bucket.", f"Write {scheme}://bucket/prefix.")


def check_endpoint(url: str) -> None:
    """Stop an endpoint that is none, or that a credential is in.

    Raises:
        InputError: see above.
    """
    parts = urlsplit(url)
    _refuse_secrets(url, "s3")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"{url} is no endpoint.", "Write https://host or http://host:port.")


def _refuse_secrets(url: str, scheme: str) -> None:
    if _is_more_than_a_place(url):
        raise InputError(
            f"The {scheme}:// URL holds a user, a password, a query or a fragment; .dvc/config is "
            "in Git, where everybody could read it.",
            f"Write the plain URL. Credentials: {_ENVIRONMENT.get(scheme, 'the environment')}; or "
            "`dvc remote modify --local`, which writes .dvc/config.local.",
        )


def _is_more_than_a_place(url: str) -> bool:
    parts = urlsplit(url)
    return "@" in parts.netloc or bool(parts.query or parts.fragment)


def has_plugin(scheme: str) -> bool:
    """Whether DVC can speak to a cloud here."""
    return not scheme or find_spec(PLUGINS[scheme]) is not None


def require_plugin(scheme: str) -> None:
    """Stop where DVC's plugin for a cloud is not installed.

    Raises:
        InputError: see above.
    """
    if not has_plugin(scheme):
        raise InputError(
            f"{scheme}:// needs a plugin of DVC's ({PLUGINS[scheme]}), which is not installed.",
            f"pip install 'facemodels[{scheme}]'",
        )


def credentials_in(text: str) -> list[str]:
    """The options of a configuration that are credentials, as `remote "x": option`."""
    return [
        f"{section}: {key.lower()}"
        for section, values in _parse(text).items()
        if isinstance(values, Mapping)
        for key, value in values.items()
        if value and (key.lower() in SECRETS or _holds_secret(key.lower(), str(value)))
    ]


def _holds_secret(key: str, value: str) -> bool:
    return key in ("url", "endpointurl") and "://" in value and _is_more_than_a_place(value)


def plan(root: Path, remotes: Sequence[Remote], *, force: bool = False) -> Change:
    """The edit of .dvc/config that sets remotes up; comments and other settings stay.

    Args:
        root: of the repository.
        remotes: `storage` becomes the default one.
        force: change remotes that exist and are elsewhere.

    Raises:
        InputError: no DVC repository; a URL with a credential in it, or a file with one; the
            backup in the same place; a remote that exists and differs.
    """
    path = root / CONFIG
    if not path.parent.is_dir():
        raise InputError(f"{root} has no .dvc folder.", "Run `dvc init` first.")
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    for remote in remotes:
        check_url(remote.url)
        if remote.endpoint_url:
            check_endpoint(remote.endpoint_url)
    _refuse_credentials(before)
    config = _parse(before)
    for remote in remotes:
        _write(config, remote, root=root, force=force)
    notes = _separate(config)
    if any(remote.name == STORAGE for remote in remotes):
        core = _section(config, "core")
        if core.get("remote", STORAGE) != STORAGE:
            notes.append(f"The default remote was {core['remote']}; it is {STORAGE} now.")
        core["remote"] = STORAGE
    after = "\n".join(config.write()) + "\n"
    _validate(after)
    return Change(path, before, after, (*notes, *_advice(remotes)))


def _refuse_credentials(text: str) -> None:
    found = credentials_in(text)
    if found:
        raise InputError(
            f"{CONFIG} holds credentials ({'; '.join(found)}), and it is in Git.",
            "Revoke them, since Git keeps what was committed; take them out of the file; set the "
            "new ones in the environment or with `dvc remote modify --local`.",
        )


def _parse(text: str) -> Any:
    """DVC's configuration as DVC itself reads it, with the comments kept."""
    from configobj import ConfigObj, ConfigObjError  # type: ignore[import-untyped]

    try:
        return ConfigObj(text.splitlines(), interpolation=False)
    except ConfigObjError as error:
        raise InputError(f"{CONFIG}: {error}", "Correct the file.") from error


def _section(config: Any, name: str) -> Any:
    for key in config.sections:
        if key.lower() == name:
            return config[key]
    config[name] = {}
    return config[name]


def _write(config: Any, remote: Remote, *, root: Path, force: bool) -> None:
    wanted = remote.options()
    if not remote.scheme:
        wanted["url"] = _as_dvc_writes(root, remote.url)
    section = _section(config, f'remote "{remote.name}"')
    given = {key: value for key, value in wanted.items() if key != "verify"}
    differs = {k: section[k] for k, v in given.items() if section.get(k, v) != v}
    added = [key for key in given if section and key not in section]
    if (differs or added) and not force:
        told = ", ".join(f"{key} = {value}" for key, value in differs.items())
        raise InputError(
            f"The remote {remote.name} exists already ({told or 'without ' + ', '.join(added)}).",
            "Add --force to change it; what lies at the old place stays there.",
        )
    if "url" in differs:  # what was said of the old place does not hold for the new one
        for key in _FLAGS:
            section.pop(key, None)
    section.update(wanted)


def _as_dvc_writes(root: Path, folder: str) -> str:
    """A folder as .dvc/config names it: from .dvc, unless it is absolute."""
    if Path(folder).expanduser().is_absolute():
        return folder
    return Path(
        os.path.relpath(Path(folder).resolve(), (root / CONFIG).parent.resolve())
    ).as_posix()


def _separate(config: Any) -> list[str]:
    """Stop a backup in the storage itself.

    Raises:
        InputError: one is inside the other.
    """
    names = {key.lower(): config[key] for key in config.sections}
    storage, backup = (names.get(f'remote "{name}"') for name in (STORAGE, BACKUP))
    if not storage or not backup:
        return [] if backup else ["There is no backup: add --backup-url."]
    if overlap(storage, backup):
        raise InputError(
            "The backup would be in the same place as the storage.",
            "Take another bucket, at best of another account and region.",
        )
    if _bucket(storage) == _bucket(backup) and scheme_of(str(storage["url"])):
        return ["Storage and backup share a bucket: whoever loses it loses both."]
    return []


def overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether one remote's place is the other's, or inside it."""
    if _endpoint(one) != _endpoint(other):
        return False
    places = [f"{place['url']}".rstrip("/") + "/" for place in (one, other)]
    return places[0].startswith(places[1]) or places[1].startswith(places[0])


def _endpoint(remote: Mapping[str, Any]) -> str:
    return str(remote.get("endpointurl") or remote.get("account_name") or "").rstrip("/")


def _bucket(remote: Mapping[str, Any]) -> tuple[str, str]:
    return _endpoint(remote), urlsplit(str(remote["url"])).netloc


def _advice(remotes: Sequence[Remote]) -> list[str]:
    notes = [
        f"{remote.name}: {remote.endpoint_url} is not encrypted on the way; use https."
        for remote in remotes
        if is_open_line(remote.endpoint_url)
    ]
    schemes = dict.fromkeys(remote.scheme for remote in remotes if remote.scheme)
    notes += [
        f"Credentials for {scheme}:// come from {_ENVIRONMENT[scheme]}; or from "
        "`dvc remote modify --local`, never from .dvc/config."
        for scheme in schemes
    ]
    return notes


def is_open_line(endpoint: str) -> bool:
    """Whether an endpoint is spoken to without encryption, over a network."""
    parts = urlsplit(endpoint)
    local = parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")
    return parts.scheme == "http" and not local


def _validate(text: str) -> None:
    """Let DVC read the file before it is there.

    Raises:
        InputError: DVC cannot.
    """
    from dvc.config import Config, ConfigError

    with tempfile.TemporaryDirectory(prefix="facemodels-") as folder:
        Path(folder, "config").write_text(text, encoding="utf-8")
        try:
            Config(folder)
        except ConfigError as error:
            raise InputError(f"DVC would not read it: {error}.", "Correct the options.") from error


def override(remote: Remote) -> dict[str, Any]:
    """A remote as settings over those of .dvc/config, for a look before anything is written."""
    values: dict[str, Any] = {**remote.options(), "verify": True}
    if not remote.scheme:
        values["url"] = str(Path(remote.url).expanduser().resolve())
    return {"remote": {remote.name: values}}


def read_remotes(root: Path) -> dict[str, str]:
    """URLs of the remotes that .dvc/config names, by name; the default one is `storage` too."""
    path = root / CONFIG
    config = _parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    urls = {
        name.partition(" ")[2].strip('"'): str(config[name].get("url", ""))
        for name in config.sections
        if name.startswith("remote ")
    }
    default = str(_section(config, "core").get("remote", ""))
    return {**({STORAGE: urls[default]} if default in urls else {}), **urls}
