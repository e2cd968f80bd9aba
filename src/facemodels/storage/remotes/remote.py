"""One remote: its URL, its options, and credentials that must not be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from facemodels import dvc_files
from facemodels.errors import InputError

# Options of DVC's remotes that are credentials.
SECRETS = frozenset({
    "access_key_id", "secret_access_key", "session_token", "sse_customer_key",
    "connection_string", "sas_token", "account_key", "client_secret", "password", "token",
    "passphrase", "oss_key_id", "oss_key_secret", "gdrive_client_secret",
})  # fmt: skip
PLUGINS: Mapping[str, str] = {"s3": "dvc_s3", "gs": "dvc_gs", "azure": "dvc_azure"}
ENVIRONMENT: Mapping[str, str] = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or the machine's service account",
    "azure": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and a login",
}
_OPTIONS: Mapping[str, tuple[str, ...]] = {  # what `storage init` writes, by scheme
    "s3": ("endpointurl", "region"),
    "gs": ("endpointurl",),
    "azure": ("account_name",),
    "": (),
}
FLAGS = {"endpointurl": "--endpoint-url", "region": "--region", "account_name": "--account-name"}


@dataclass(frozen=True)
class Remote:
    """A remote as it is to be set up.

    Attributes:
        name: its name in DVC's configuration.
        url: `s3://bucket/prefix`, `gs://…`, `azure://container/…`, or a folder.
        endpoint_url: the endpoint of an S3 that is not Amazon's; "" for the cloud's own.
        region: the region of an S3 bucket; "" for the environment's.
        account_name: the account of Azure; "" for the environment's.
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
        """The options of the remote in DVC's configuration.

        Raises:
            InputError: an option is given that the scheme does not have.
        """
        given = {
            "endpointurl": self.endpoint_url,
            "region": self.region,
            "account_name": self.account_name,
        }
        odd = [key for key, value in given.items() if value and key not in _OPTIONS[self.scheme]]
        if odd:
            flags = ", ".join(FLAGS[key] for key in odd)
            raise InputError(f"{flags}: {self.scheme or 'a folder'} has no such option.", "Omit.")
        chosen = {key: value for key, value in given.items() if value}
        return {"url": self.url, **chosen, "verify": "true"}


def scheme_of(url: str) -> str:
    """The scheme of a URL: `s3`, `gs`, `azure`, or "" for a folder.

    Raises:
        InputError: the URL has another scheme.
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
    """Stop unless a text is a URL without a credential; the message does not repeat credentials.

    Raises:
        InputError: it is no URL, or holds a credential.
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
    """Stop unless a text is the URL of an endpoint without a credential.

    Raises:
        InputError: it is no endpoint, or holds a credential.
    """
    parts = urlsplit(url)
    _refuse_secrets(url, "s3")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"{url} is no endpoint.", "Write https://host or http://host:port.")


def _refuse_secrets(url: str, scheme: str) -> None:
    if _holds_more_than_a_location(url):
        raise InputError(
            f"The {scheme}:// URL holds a user, a password, a query or a fragment; .dvc/config is "
            "in Git, where everybody could read it.",
            f"Write the plain URL. Credentials: {ENVIRONMENT.get(scheme, 'the environment')}; or "
            "`dvc remote modify --local`, which writes .dvc/config.local.",
        )


def _holds_more_than_a_location(url: str) -> bool:
    parts = urlsplit(url)
    return "@" in parts.netloc or bool(parts.query or parts.fragment)


def has_plugin(scheme: str) -> bool:
    """Whether DVC's plugin for a scheme is installed."""
    return not scheme or find_spec(PLUGINS[scheme]) is not None


def require_plugin(scheme: str) -> None:
    """Stop unless DVC's plugin for a scheme is installed.

    Raises:
        InputError: it is not installed.
    """
    if not has_plugin(scheme):
        raise InputError(
            f"{scheme}:// needs a plugin of DVC's ({PLUGINS[scheme]}), which is not installed.",
            f"pip install 'facemodels[{scheme}]'",
        )


def credentials_in(text: str) -> list[str]:
    """Find the credentials in the text of a configuration, as `remote "x": option`."""
    return [
        f"{section}: {key.lower()}"
        for section, values in dvc_files.parse_config(text).items()
        if isinstance(values, Mapping)
        for key, value in values.items()
        if value and (key.lower() in SECRETS or _holds_secret(key.lower(), str(value)))
    ]


def _holds_secret(key: str, value: str) -> bool:
    return key in ("url", "endpointurl") and "://" in value and _holds_more_than_a_location(value)


def overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the URL of one remote is that of the other, or below it."""
    if _endpoint(one) != _endpoint(other):
        return False
    urls = [f"{remote['url']}".rstrip("/") + "/" for remote in (one, other)]
    return urls[0].startswith(urls[1]) or urls[1].startswith(urls[0])


def _endpoint(remote: Mapping[str, Any]) -> str:
    return str(remote.get("endpointurl") or remote.get("account_name") or "").rstrip("/")


def bucket_of(remote: Mapping[str, Any]) -> tuple[str, str]:
    """The endpoint and the bucket of a remote."""
    return _endpoint(remote), urlsplit(str(remote["url"])).netloc


def is_unencrypted(endpoint: str) -> bool:
    """Whether requests to an endpoint go over a network without encryption."""
    parts = urlsplit(endpoint)
    local = parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")
    return parts.scheme == "http" and not local


def override(remote: Remote) -> dict[str, Any]:
    """A remote as settings for `open_store`, to try it before anything is written."""
    values: dict[str, Any] = {**remote.options(), "verify": True}
    if not remote.scheme:
        values["url"] = str(Path(remote.url).expanduser().resolve())
    return {"remote": {remote.name: values}}
