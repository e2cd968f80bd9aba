"""Questions to S3 about a bucket: encryption, versioning and public access.

Each question notes the code of its answer, so that what the rights or the store do not answer is
told as unknown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from facemodels.storage.remotes.finding import RemoteFinding
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.stores.probe import note_code
from facemodels.text import counted

_CLEAR = ""  # the code of a question that was answered
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_UNFINISHED = timedelta(days=1)  # from which on nobody is still sending
_EVERYBODY = ("/groups/global/AllUsers", "/groups/global/AuthenticatedUsers")


def examine_bucket(store: ObjectStore, *, own: bool) -> Iterator[RemoteFinding]:
    """Examine encryption, versioning and public access of the bucket of a remote on S3.

    Args:
        store: the remote.
        own: whether it has an endpoint of its own, and so is not Amazon's.
    """
    bucket = str(store.odb.path).partition("/")[0]
    ask = store.odb.fs.fs.call_s3
    codes: dict[str, str] = {}
    yield from _encryption(store.name, bucket, ask, codes)
    yield from _versioning(store.name, bucket, ask, codes)
    yield from _public(store.name, bucket, ask, codes)
    yield from _blocks(store.name, bucket, ask, codes, own=own)
    yield from _leftovers(store.name, bucket, ask, codes)
    unknown = sorted(question for question, code in codes.items() if code != _CLEAR)
    if unknown:
        told = ", ".join(f"{question} ({codes[question]})" for question in unknown)
        yield RemoteFinding(
            "not-permitted", store.name, "unknown",
            f"{bucket} did not answer about: {told}.",
            "Run it with the releaser's rights (`facemodels storage init --print-policy "
            "releaser`), or look in the store's own console.",
        )  # fmt: skip


def _encryption(
    name: str, bucket: str, ask: Callable[..., Any], codes: dict[str, str]
) -> Iterator[RemoteFinding]:
    rules: Sequence[Any] = ()
    with note_code(codes, "encryption"):
        answer = ask("get_bucket_encryption", Bucket=bucket)
        rules = answer["ServerSideEncryptionConfiguration"].get("Rules", ())
        codes["encryption"] = _CLEAR
    if codes["encryption"] == "ServerSideEncryptionConfigurationNotFoundError":
        codes["encryption"] = _CLEAR
    if codes["encryption"] == _CLEAR and not rules:
        yield RemoteFinding(
            "encryption-off", name, "problem",
            f"{bucket} does not encrypt what it stores.",
            f"`aws s3api put-bucket-encryption --bucket {bucket} "
            "--server-side-encryption-configuration '{\"Rules\": "
            '[{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}\'`',
        )  # fmt: skip


def _versioning(
    name: str, bucket: str, ask: Callable[..., Any], codes: dict[str, str]
) -> Iterator[RemoteFinding]:
    status = ""
    with note_code(codes, "versioning"):
        status = str(ask("get_bucket_versioning", Bucket=bucket).get("Status") or "off")
        codes["versioning"] = _CLEAR
    if status and status != "Enabled":
        yield RemoteFinding(
            "versioning-off", name, "problem",
            f"{bucket} keeps no earlier versions ({status.lower()}): what is overwritten or "
            "deleted by mistake is gone.",
            f"`aws s3api put-bucket-versioning --bucket {bucket} "
            "--versioning-configuration Status=Enabled`, and a lifecycle rule that ends old "
            "versions (docs/storage.md).",
        )  # fmt: skip


def _leftovers(
    name: str, bucket: str, ask: Callable[..., Any], codes: dict[str, str]
) -> Iterator[RemoteFinding]:
    """Find uploads in parts that nobody ended: they are in no listing, and are paid for."""
    old: list[Mapping[str, Any]] = []
    with note_code(codes, "unfinished uploads"):
        begun = ask("list_multipart_uploads", Bucket=bucket).get("Uploads") or ()
        codes["unfinished uploads"] = _CLEAR
        limit = datetime.now(UTC) - _UNFINISHED
        old = [one for one in begun if one["Initiated"] < limit]
    if old:
        yield RemoteFinding(
            "unfinished-uploads", name, "problem",
            f"{bucket} keeps the parts of {counted(len(old), 'upload')} that were broken off, "
            f"{old[0]['Key']} for one; they are in no listing and take room.",
            f"`aws s3api put-bucket-lifecycle-configuration --bucket {bucket} "
            "--lifecycle-configuration '{\"Rules\": [{\"ID\": \"unfinished\", \"Status\": "
            '"Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": '
            '{"DaysAfterInitiation": 7}}]}\'` (beside the rules that it has).',
        )  # fmt: skip


def _public(
    name: str, bucket: str, ask: Callable[..., Any], codes: dict[str, str]
) -> Iterator[RemoteFinding]:
    told = []
    with note_code(codes, "policy"):
        document = json.loads(ask("get_bucket_policy", Bucket=bucket)["Policy"])
        codes["policy"] = _CLEAR
        told += ["its policy" for one in _listed(document.get("Statement")) if _is_open(one)][:1]
    if codes["policy"] in ("NoSuchBucketPolicy", "FileNotFoundError"):
        codes["policy"] = _CLEAR
    with note_code(codes, "acl"):
        grants = ask("get_bucket_acl", Bucket=bucket).get("Grants", ())
        codes["acl"] = _CLEAR
        uris = [str(grant.get("Grantee", {}).get("URI", "")) for grant in grants]
        told += ["its ACL" for uri in uris if uri.endswith(_EVERYBODY)][:1]
    if told:
        yield RemoteFinding(
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
) -> Iterator[RemoteFinding]:
    """Examine Amazon's public access block; other stores seldom have one."""
    missing: Sequence[str] = ()
    with note_code(codes, "public access block"):
        answer = ask("get_public_access_block", Bucket=bucket)["PublicAccessBlockConfiguration"]
        codes["public access block"] = _CLEAR
        missing = [key for key in _BLOCKS if not answer.get(key)]
    if codes["public access block"] == "NoSuchPublicAccessBlockConfiguration":
        codes["public access block"] = _CLEAR
        missing = _BLOCKS
    elif own and codes["public access block"] != _CLEAR:
        del codes["public access block"]
    if missing and not own:
        yield RemoteFinding(
            "public-access-unblocked", name, "problem",
            f"{bucket} may be opened to everybody by a mistake: {', '.join(missing)} off.",
            f"`aws s3api put-public-access-block --bucket {bucket} …` with all four true.",
        )  # fmt: skip
