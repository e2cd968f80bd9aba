"""The least rights that each role needs of S3, as IAM policy documents.

A reader (a server or a controller) reads. A builder (who trains and pushes) adds objects and
deletes none. A releaser makes backups and archives; it may delete objects of the storage, but
never archives, backups, or the versions that a bucket keeps of what was deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from facemodels.errors import InputError
from facemodels.files import canonical_json

Role = Literal["reader", "builder", "releaser"]
ROLES: tuple[Role, ...] = get_args(Role)
OBJECTS = "files/md5"  # DVC's folder below a remote's URL
REGISTRY = "registry"  # bundles and manifests of a backup

_LOOK = ["s3:ListBucket"]
_READ = ["s3:GetObject"]
_WRITE = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
_DOCTOR = [
    "s3:GetBucketAcl",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:ListBucketMultipartUploads",
]
# Acts that would make a deletion final, or hide who may delete.
_FINAL = [
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:DeleteObjectVersion",
    "s3:PutBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
]


def policy(
    role: Role, storage: str, backup: str = "", *, archive: str = "archive", region: str = ""
) -> dict[str, Any]:
    """What a role may do, as a document for IAM.

    Args:
        role: the role.
        storage: the URL of the default remote.
        backup: the URL of the second remote; "" where there is none.
        archive: the prefix of archives below `storage`.
        region: the region of the buckets; China and AWS GovCloud have ARNs of their own.

    Raises:
        InputError: a URL is not of S3.
    """
    here = _Prefix(storage, region)
    there = [_Prefix(backup, region)] if backup else []
    kept = [here.below(OBJECTS), here.below(archive)]
    copies = [prefix.below(part) for prefix in there for part in (OBJECTS, REGISTRY)]
    statements = [
        *_listing([here, *there], {here: (OBJECTS, archive), **dict.fromkeys(there, _BACKED)}),
        # DVC looks whether an empty folder is perhaps an object of that name.
        _allow("Read", _READ, [*kept, *copies, *(p.at(OBJECTS) for p in (here, *there))]),
    ]
    if role == "builder":
        statements.append(_allow("AddObjects", _WRITE, [here.below(OBJECTS)]))
    if role == "releaser":
        statements += [
            _allow("AddObjectsArchivesAndBackups", _WRITE, [*kept, *copies]),
            _allow("ThawArchives", ["s3:RestoreObject"], [here.below(archive)]),
            _allow("DeleteRetiredObjects", ["s3:DeleteObject"], [here.below(OBJECTS)]),
            _allow("Doctor", _DOCTOR, _arns([here, *there])),
            {
                "Sid": "NothingIsGoneForGood",
                "Effect": "Deny",
                "Action": _FINAL,
                "Resource": [x for arn in _arns([here, *there]) for x in (arn, f"{arn}/*")],
            },
        ]
    return {"Version": "2012-10-17", "Statement": statements}


def text(document: dict[str, Any]) -> str:
    """A policy as text for `aws iam create-policy --policy-document`."""
    return canonical_json(document)


_BACKED = (OBJECTS, REGISTRY)


class _Prefix:
    """The ARN of a bucket, and the prefix of a remote in it."""

    def __init__(self, url: str, region: str) -> None:
        scheme, _, path = url.partition("://")
        if scheme != "s3":
            raise InputError(
                f"{url} is not on S3, and policies are written for S3 alone.",
                "docs/storage.md names the roles of Google Cloud and Azure.",
            )
        bucket, _, prefix = path.strip("/").partition("/")
        partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}
        name = next((p for start, p in partition.items() if region.startswith(f"{start}-")), "aws")
        self.arn = f"arn:{name}:s3:::{bucket}"
        self._prefix = f"{prefix}/" if prefix else ""

    def keys(self, part: str) -> str:
        return f"{self._prefix}{part}"

    def at(self, part: str) -> str:
        return f"{self.arn}/{self.keys(part)}"

    def below(self, part: str) -> str:
        return f"{self.at(part)}/*"


def _listing(
    prefixes: Sequence[_Prefix], parts: dict[_Prefix, tuple[str, ...]]
) -> list[dict[str, Any]]:
    """The right to list, in one statement for each bucket with the prefixes of that bucket.

    The condition is `IfExists` because a request for an object that is not there has no prefix:
    without the right to list, S3 answers 403 instead of 404 (GetObject, "Permissions"), and DVC
    takes that for a refusal.
    """
    by_bucket: dict[str, list[str]] = {}
    for prefix in prefixes:
        keys = by_bucket.setdefault(prefix.arn, [])
        for part in parts[prefix]:
            keys += [prefix.keys(part), f"{prefix.keys(part)}/*"]
    return [
        {
            **_allow(f"List{number}", _LOOK, [arn]),
            "Condition": {"StringLikeIfExists": {"s3:prefix": sorted(set(keys))}},
        }
        for number, (arn, keys) in enumerate(by_bucket.items(), start=1)
    ]


def _allow(sid: str, actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": sorted(set(resources)),
    }


def _arns(prefixes: Sequence[_Prefix]) -> list[str]:
    return sorted({prefix.arn for prefix in prefixes})
