"""What the policies mean, by an evaluator of their own: AWS's rules for one document."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.errors import InputError
from facemodels.storage.remotes import policies
from facemodels.storage.remotes.policies import ROLES, policy

STORAGE, BACKUP = "s3://models/faces", "s3://models-backup/faces"
OBJECT = "faces/files/md5/aa/bb"
WRITES = {"s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:RestoreObject"}


def allows(document: dict[str, Any], action: str, resource: str, **context: str) -> bool:
    """Explicit denial first, then permission, else denial (IAM's evaluation of one policy)."""
    verdict = False
    for statement in document["Statement"]:
        if not any(fnmatchcase(action, one) for one in statement["Action"]):
            continue
        if not any(fnmatchcase(f"{resource}", one) for one in statement["Resource"]):
            continue
        likes = statement.get("Condition", {}).get("StringLikeIfExists", {})
        if not all(
            key not in context or any(fnmatchcase(context[key], one) for one in values)
            for key, values in likes.items()
        ):
            continue
        if statement["Effect"] == "Deny":
            return False
        verdict = True
    return verdict


def on(bucket: str, key: str) -> str:
    return f"arn:aws:s3:::{bucket}/{key}"


def may(role: str, action: str, bucket: str, key: str) -> bool:
    return allows(policy(role, STORAGE, BACKUP), action, on(bucket, key))  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ROLES)
def test_a_policy_is_one_that_iam_takes(role: Any) -> None:
    document = policy(role, STORAGE, BACKUP)
    text = policies.text(document)
    assert json.loads(text) == document
    assert document["Version"] == "2012-10-17"
    assert len("".join(text.split())) <= 6144  # characters of a managed policy, without spaces
    sids = [statement["Sid"] for statement in document["Statement"]]
    assert len(sids) == len(set(sids))
    for statement in document["Statement"]:
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert re.fullmatch("[A-Za-z0-9]+", statement["Sid"])
        assert statement["Effect"] in ("Allow", "Deny")
        assert statement["Action"]
        assert statement["Resource"]
        for action in statement["Action"]:
            assert re.fullmatch(r"s3:[A-Z][A-Za-z]+", action)  # no wildcard
        for arn in statement["Resource"]:
            assert re.fullmatch(r"arn:aws:s3:::models(-backup)?(/.+)?", arn)
            if statement["Effect"] == "Allow":
                assert not arn.endswith(("models/*", "models-backup/*"))


@pytest.mark.parametrize("action", sorted(WRITES))
@pytest.mark.parametrize("place", [("models", OBJECT), ("models", "faces/archive/x"),
                                   ("models-backup", OBJECT), ("models-backup", "faces/registry/x")])  # fmt: skip
def test_a_reader_writes_nothing(action: str, place: tuple[str, str]) -> None:
    assert not may("reader", action, *place)
    assert may("reader", "s3:GetObject", *place)


def test_a_builder_adds_objects_and_deletes_nothing() -> None:
    assert may("builder", "s3:PutObject", "models", OBJECT)
    for bucket, key in (("models", "faces/archive/x"), ("models-backup", OBJECT)):
        assert not may("builder", "s3:PutObject", bucket, key)
    for bucket, key in (
        ("models", OBJECT),
        ("models", "faces/archive/x"),
        ("models-backup", OBJECT),
    ):
        for action in WRITES - {"s3:PutObject"}:
            assert not may("builder", action, bucket, key)


def test_a_releaser_deletes_objects_of_the_storage_alone() -> None:
    assert may("releaser", "s3:DeleteObject", "models", OBJECT)
    for bucket, key in (
        ("models", "faces/archive/x"), ("models", "other/files/md5/aa/bb"), ("models", "faces/x"),
        ("models-backup", OBJECT), ("models-backup", "faces/registry/latest.json"),
    ):  # fmt: skip
        assert not may("releaser", "s3:DeleteObject", bucket, key), key
    for key in (OBJECT, "faces/registry/latest.json"):
        assert may("releaser", "s3:PutObject", "models-backup", key)
    assert may("releaser", "s3:PutObject", "models", "faces/archive/x")


def test_a_releaser_makes_no_deletion_final_even_with_another_policy_beside() -> None:
    document = policy("releaser", STORAGE, BACKUP)
    everything = {"Sid": "All", "Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}
    document["Statement"].append(everything)
    for action in ("s3:DeleteObjectVersion", "s3:PutBucketVersioning", "s3:DeleteBucket"):
        for resource in ("arn:aws:s3:::models", on("models", OBJECT), on("models-backup", OBJECT)):
            assert not allows(document, action, resource)
    assert allows(document, "s3:GetObject", on("models", OBJECT))


@pytest.mark.parametrize("role", ROLES)
def test_each_bucket_is_listed_below_its_own_prefixes_alone(role: Any) -> None:
    document = policy(role, "s3://models/a", "s3://models-backup/b")

    def lists(bucket: str, prefix: str | None) -> bool:
        context = {} if prefix is None else {"s3:prefix": prefix}
        return allows(document, "s3:ListBucket", f"arn:aws:s3:::{bucket}", **context)

    assert lists("models", None)  # S3 asks so before it says that an object is not there
    assert lists("models", "a/files/md5/00")
    assert lists("models", "a/files/md5")
    assert lists("models", "a/archive/x")
    assert lists("models-backup", "b/registry/manifests/")
    for bucket, prefix in (
        ("models", ""), ("models", "b/files/md5/00"), ("models", "a/registry/x"),
        ("models-backup", "a/files/md5/00"), ("models-backup", "b/archive/"),
    ):  # fmt: skip
        assert not lists(bucket, prefix), (bucket, prefix)


@given(st.text("abcdefg/-.", min_size=1, max_size=30))
def test_no_role_touches_a_key_outside_its_prefixes(key: str) -> None:
    inside = ("faces/files/md5/", "faces/archive/", "faces/registry/")
    for role in ROLES:
        for bucket in ("models", "models-backup", "others"):
            for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
                if may(role, action, bucket, key):
                    assert bucket != "others"
                    assert f"{key}/".startswith(inside)


def test_one_bucket_for_both_is_one_listing() -> None:
    document = policy("reader", "s3://models/a", "s3://models/b")
    assert [s["Sid"] for s in document["Statement"] if "Condition" in s] == ["List1"]


@pytest.mark.parametrize(
    ("region", "partition"),
    [("", "aws"), ("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_names_follow_the_region(region: str, partition: str) -> None:
    document = policy("reader", "s3://models", region=region)
    assert all(
        r.startswith(f"arn:{partition}:s3:::models/") for r in document["Statement"][1]["Resource"]
    )


def test_the_archive_is_where_the_settings_put_it() -> None:
    document = policy("releaser", STORAGE, archive="cold/retired")
    assert allows(document, "s3:PutObject", on("models", "faces/cold/retired/x"))
    assert not allows(document, "s3:PutObject", on("models", "faces/archive/x"))


@pytest.mark.parametrize("url", ["gs://models", "azure://models", "/srv/models"])
def test_another_cloud_has_no_policy_and_the_error_says_where_to_look(url: str) -> None:
    with pytest.raises(InputError, match=r"docs/storage\.md"):
        policy("reader", url)
