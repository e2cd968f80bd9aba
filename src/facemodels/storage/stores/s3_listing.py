"""Whether what answers under the address of an S3 store is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def list_one(filesystem: Any, path: str) -> Mapping[str, Any]:
    """Ask an S3 store for the first object of a folder.

    Args:
        filesystem: s3fs's.
        path: bucket and prefix.

    Returns:
        The answer, as botocore gives it.

    Raises:
        OSError: the answer is no list of S3. botocore takes the page of a portal, with status 200,
            for the list of an empty bucket.
    """
    bucket, _, prefix = path.partition("/")
    answer: Mapping[str, Any] = filesystem.call_s3(
        "list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/", MaxKeys=1
    )
    if "IsTruncated" not in answer:  # which every list says (ListObjectsV2 in S3's API reference)
        raise OSError("the answer is no list of objects, as from a portal or a proxy in between")
    return answer
