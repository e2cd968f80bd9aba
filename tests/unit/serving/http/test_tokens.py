"""Tokens: what is stored, and what is believed."""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from facemodels.cli import serve as command
from facemodels.errors import InputError, ParamsError
from facemodels.routes import SCOPES
from facemodels.serving.http import tokens
from facemodels.serving.http.tokens import Tokens


def path_of(folder: Path) -> Path:
    return folder / "tokens.yaml"


def test_a_token_is_stored_as_its_hash_and_found_by_itself(tmp_path: Path) -> None:
    token = tokens.add(path_of(tmp_path), "gateway", ["info", "predict"])
    text = path_of(tmp_path).read_text()
    assert token not in text
    assert hashlib.sha256(token.encode()).hexdigest() in text
    known = Tokens(path_of(tmp_path))
    assert known.holder(token.encode()) == ("gateway", {"predict", "info"})
    for other in (
        b"",
        token.encode()[:-1],
        token.encode() + b"x",
        b"\xff\x00",
        token.upper().encode(),
    ):
        assert known.holder(other) is None


def test_every_token_is_compared_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(tmp_path)
    mine = [tokens.add(path, f"n{i}", ["info"]) for i in range(5)]
    known, compared = Tokens(path), []
    compare = hmac.compare_digest

    def watched(one: str, other: str) -> bool:
        compared.append(one)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    for token in (mine[0], mine[-1], "unknown"):
        compared.clear()
        known.holder(token.encode())
        assert len(compared) == 5


def test_nobody_else_can_ever_read_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        modes.append(self.stat().st_mode & 0o777)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    before = os.umask(0)
    try:
        tokens.add(path_of(tmp_path), "a", ["info"])
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert path_of(tmp_path).stat().st_mode & 0o777 == 0o600


def test_editors_at_one_moment_lose_nothing(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from facemodels.serving.http import tokens\n" \
        "for i in range(10): tokens.add(Path(sys.argv[1]), f'{sys.argv[2]}{i}', ['info'])"  # fmt: skip
    editors = [
        subprocess.Popen([sys.executable, "-c", code, str(path_of(tmp_path)), name])
        for name in "abc"
    ]
    assert [editor.wait(60) for editor in editors] == [0, 0, 0]
    assert len(tokens.holders(path_of(tmp_path))) == 30
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.yaml"]


def test_a_change_within_one_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    """Same size, same inode, same time stamp: as when a file is written twice in a moment."""
    path = path_of(tmp_path)
    tokens.add(path, "a", ["info"])
    known = Tokens(path)
    stamp = path.stat()
    path.write_text(path.read_text().replace("info", "none"))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    secret = tokens.add(tmp_path / "other.yaml", "a", ["info"])
    path.write_text((tmp_path / "other.yaml").read_text())
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert known.holder(secret.encode()) == ("a", {"info"})


@pytest.mark.parametrize(
    "broken", ["", "{", "tokens: 1", "tokens: {a: {sha256: x, scopes: []}}", None]
)
def test_a_broken_file_changes_nothing_but_does_not_start(
    tmp_path: Path, broken: str | None
) -> None:
    path = path_of(tmp_path)
    token = tokens.add(path, "a", ["info"]).encode()
    known = Tokens(path)
    path.unlink() if broken is None else path.write_text(broken)
    for _ in range(3):
        assert (known.holder(token) is None) == (broken is None)  # a file that is gone revokes
    with pytest.raises(ParamsError):
        Tokens(path)
    if broken is not None:
        with pytest.raises(ParamsError):
            tokens.add(path, "b", ["info"])
        assert path.read_text() == broken


@pytest.mark.parametrize(
    "entry",
    [
        {"sha256": "é" * 64, "scopes": ["info"]}, {"sha256": "A" * 64, "scopes": ["info"]},
        {"sha256": "a" * 64, "scopes": []}, {"sha256": "a" * 64, "scopes": ["all"]},
        {"sha256": "a" * 64}, {"sha256": "a" * 64, "scopes": ["info"], "token": "secret"},
    ],
)  # fmt: skip
def test_an_entry_that_is_none_is_refused(tmp_path: Path, entry: dict[str, object]) -> None:
    import json

    path_of(tmp_path).write_text(json.dumps({"tokens": {"a": entry}}))
    with pytest.raises(ParamsError, match=r"tokens\.a"):
        Tokens(path_of(tmp_path))


def test_names_and_scopes_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    for name in ("", "A", "a b", "-a", "a/b", "a\n", "a" * 65, "é"):
        with pytest.raises(InputError, match="name of a holder"):
            tokens.add(path_of(tmp_path), name, ["info"])
    with pytest.raises(InputError, match="without scopes"):
        tokens.add(path_of(tmp_path), "a", [])
    with pytest.raises(InputError, match="holds no token"):
        tokens.remove(path_of(tmp_path), "a")
    assert list(tmp_path.iterdir()) == []


def test_a_new_token_voids_the_old_one_and_remove_the_last(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    old, new = (tokens.add(path, "a", ["info"]).encode() for _ in range(2))
    known = Tokens(path)
    assert known.holder(old) is None
    assert known.holder(new) is not None
    tokens.remove(path, "a")
    assert known.holder(new) is None
    assert tokens.holders(path) == {}


def test_the_command_offers_the_scopes_that_there_are() -> None:
    (scopes,) = (option for option in command.add.params if option.name == "scopes")
    assert scopes.type.choices == SCOPES


def test_a_token_ends_and_the_one_before_holds_on_for_a_while(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    first = tokens.add(path, "a", ["info"]).encode()
    second = tokens.add(path, "a", ["info"], overlap=timedelta(hours=1)).encode()
    third = tokens.add(path, "a", ["predict"], overlap=timedelta(hours=1)).encode()
    known = Tokens(path)
    assert {known.holder(one) for one in (first, second, third)} == {("a", frozenset({"predict"}))}
    fourth = tokens.add(path, "a", ["info"], lasts=timedelta(microseconds=1)).encode()
    assert [known.holder(one) for one in (first, second, third, fourth)] == [None] * 4
    assert tokens.holders(path)["a"].before == ()
