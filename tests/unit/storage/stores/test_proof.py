"""What proves an object, and how long a proof holds."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.storage.stores.test_object_store import folder_store, oid_of, put_bytes

from facemodels.storage.stores.object_info import ObjectInfo
from facemodels.storage.stores.proof import ProofLedger, examine, is_etag_of, parts_etag

MIB = 1 << 20
INFO = ObjectInfo(3, "mark", "2026")


@pytest.fixture
def ledger(tmp_path: Path) -> ProofLedger:
    return ProofLedger(tmp_path / "deep" / "proofs.sqlite")


def test_a_proof_holds_until_size_mark_or_date_change(ledger: ProofLedger) -> None:
    assert not ledger.knows("s3://a", "x", INFO)
    ledger.note("s3://a", "x", INFO)
    assert ledger.knows("s3://a", "x", INFO)
    for other in (replace(INFO, size=4), replace(INFO, etag="b"), replace(INFO, modified="c")):
        assert not ledger.knows("s3://a", "x", other)
    assert not ledger.knows("s3://b", "x", INFO)
    assert not ledger.knows("s3://a", "y", INFO)


def test_a_ledger_is_there_for_the_next_run_and_a_broken_one_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "proofs.sqlite"
    ProofLedger(path).note("s3://a", "x", INFO)
    assert ProofLedger(path).knows("s3://a", "x", INFO)
    path.write_bytes(b"this is no database" * 100)
    assert not ProofLedger(path).knows("s3://a", "x", INFO)


def test_a_forged_mark_of_the_store_is_no_proof_of_other_bytes(
    tmp_path: Path, ledger: ProofLedger
) -> None:
    store = folder_store(tmp_path / "store")
    oid = put_bytes(store, b"bad", oid_of(b"good"))
    assert examine(store, oid, store.info(oid), ledger=ledger) == "wrong"
    assert examine(store, oid, None, ledger=ledger) == "missing"
    Path(store.path(oid)).write_bytes(b"good")
    info = store.info(oid)
    assert info is not None
    assert examine(store, oid, info, ledger=ledger) == "whole"
    assert ledger.knows(store.url, oid, info)


def test_damage_at_rest_under_a_right_checksum_shows_when_it_is_read_back(
    tmp_path: Path, ledger: ProofLedger
) -> None:
    store = folder_store(tmp_path / "store")
    oid = put_bytes(store, b"bad", oid_of(b"good"))
    told = ObjectInfo(3, oid, "1", md5=oid)  # as S3 says what it once took
    assert examine(store, oid, told, ledger=ledger) == "whole"
    assert examine(store, oid, told, ledger=ledger, read_back=True) == "wrong"


def test_an_object_that_goes_while_it_is_looked_at_is_missing(
    tmp_path: Path, ledger: ProofLedger
) -> None:
    store = folder_store(tmp_path / "store")
    assert examine(store, oid_of(b"a"), INFO, ledger=ledger) == "missing"


@pytest.mark.parametrize("size", [5 * MIB + 1, 10 * MIB, 16 * MIB, 16 * MIB + 3])
def test_the_etag_of_parts_is_the_md5_of_their_md5(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "file"
    path.write_bytes(data[:size])
    for part in (5 * MIB, 8 * MIB):
        parts = [data[start : min(start + part, size)] for start in range(0, size, part)]
        wanted = hashlib.md5(b"".join(hashlib.md5(one).digest() for one in parts)).hexdigest()  # noqa: S324
        etag = f"{wanted}-{len(parts)}"
        assert parts_etag(path, part) == etag
        assert is_etag_of(path, ObjectInfo(size, etag, ""), oid_of(data[:size]))
        assert not is_etag_of(path, ObjectInfo(size, etag, ""), oid_of(b"else"))
        assert not is_etag_of(path, ObjectInfo(size + 1, etag, ""), oid_of(data[:size]))
    assert not is_etag_of(tmp_path / "none", ObjectInfo(size, etag, ""), oid_of(data[:size]))
