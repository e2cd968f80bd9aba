"""Judging what a stage did: what a functional test with DVC would need a second checkout for."""

from __future__ import annotations

from pathlib import Path

import pytest

from facemodels.sealing.declaration import StageDeclaration
from facemodels.sealing.digests import Ignored, Stamp
from facemodels.sealing.judgement import Breach, compare, is_code, judge
from facemodels.sealing.recording import Sight

STAGE = StageDeclaration(
    "train@one", "train", ("python stage.py one",), deps=("src/facemodels/used.py", "raw"),
    params={}, outs=("out",), measured=("times",), harmless_reads=("src",), scratch=("curves",),
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A working tree, beside another one that has the same package."""
    for tree in ("here", "there"):
        for name in ("__init__", "used", "unused", "empty"):
            file = tmp_path / tree / f"src/facemodels/{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text('"""No more than words."""\n' if name == "empty" else "A = 1\n")
    for name in ("curves/a", "times/b", "out/c", "raw/d"):
        file = tmp_path / "here" / name
        file.parent.mkdir()
        file.touch()
    (tmp_path / "here/.dvcignore").write_text("*.tmp\n# no pattern\n")
    return tmp_path / "here"


def breaches(root: Path, tree: str, *sights: tuple[str, str]) -> list[Breach]:
    base = root.parent / tree
    seen = [Sight(act, str(base / path)) for act, path in sights]
    return judge(STAGE, seen, root, base / "src/facemodels", Ignored(root))


def test_modules_of_another_checkout_count_as_those_of_this_one_if_they_are_equal(
    root: Path,
) -> None:
    used, unused = "src/facemodels/used.py", "src/facemodels/unused.py"
    found = breaches(root, "there", ("import", used), ("import", unused))
    assert found == [Breach("import", unused)]
    (root / used).write_text("A = 2\n")
    assert breaches(root, "there", ("import", used)) == [
        Breach("foreign", str(root.parent / "there" / used))
    ]


def test_harmless_reads_excuse_no_import_and_modules_of_words_alone_need_no_dep(
    root: Path,
) -> None:
    unused = "src/facemodels/unused.py"
    assert breaches(root, "here", ("read", unused)) == []
    assert breaches(root, "here", ("read", unused), ("import", unused)) == [
        Breach("import", unused)
    ]
    modules = [("import", f"src/facemodels/{name}.py") for name in ("__init__", "empty", "gone")]
    assert breaches(root, "here", *modules) == [Breach("import", "src/facemodels/gone.py")]
    assert is_code(root / unused, root / "src/facemodels")


def test_a_module_that_is_not_in_the_list_of_the_code_is_named_as_such(root: Path) -> None:
    base, unused = root / "src/facemodels", "src/facemodels/unused.py"
    seen = [Sight("import", str(root / unused))]
    judged = [judge(STAGE, seen, root, base, Ignored(root), code) for code in ({"a"}, {unused})]
    assert judged == [[Breach("unlisted", unused)], []]
    assert "BY_NAME" in judged[0][0].explained(STAGE)


def test_outputs_scratch_and_measurements_may_be_written_and_a_dep_may_not(root: Path) -> None:
    written = [("write", path) for path in ("out/c", "curves/a", "times/b", "raw/d", "gone.json")]
    assert breaches(root, "here", *written) == [Breach("write", "raw/d")]
    moment = [("create", "x.tmp"), ("create", "moment"), ("read", "moment"), ("remove", "moment")]
    assert breaches(root, "here", *moment) == []


def test_a_file_that_was_written_counts_as_changed_and_so_does_one_from_after_the_start() -> None:
    old = Stamp(size=1, mtime_ns=5, inode=9, ctime_ns=5)
    assert compare({"a": old, "b": None}, {"a": old, "b": None}, since_ns=6) == []
    assert compare({"a": old}, {"a": old}, since_ns=4) == [Breach("changed", "a")]
    assert compare({"a": old}, {"a": old._replace(mtime_ns=6)}, since_ns=9) == [
        Breach("changed", "a")
    ]
    assert compare({"a": old, "b": None}, {"a": None, "b": old, "c": old}, since_ns=6) == [
        Breach("added", "b"), Breach("added", "c"), Breach("lost", "a"),
    ]  # fmt: skip
