from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples

from facemodels.data.kinds.lfw import read_lfw_pairs, read_people
from facemodels.data.real.identities import read_identities
from facemodels.errors import DataError

LFW = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "lfw"
FACES = LFW / "lfw-deepfunneled"
needs_lfw = pytest.mark.skipif(not FACES.is_dir(), reason="LFW is not at ../shared/data/lfw")
NAMES = st.text("abcÅ-_.", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
PAIR = st.tuples(NAMES, st.integers(1, 9999), NAMES, st.integers(1, 9999))


@pytest.fixture(autouse=True, scope="module")
def _temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hypothesis' examples make their folders below pytest's, which cleans up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("examples")))
        yield


def written(text: str | bytes) -> Path:
    folder = Path(tempfile.mkdtemp())
    path = folder / "list.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_identity_folders_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.PNG", "a/x.webp", "b/notes.txt", "c/notes.txt", ".git/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loose.jpg").touch()
    samples, problems = read_identities(tmp_path)
    read = [(s.path.relative_to(tmp_path).as_posix(), s.identity) for s in samples]
    assert read == [("a/x.webp", "a"), ("b/1.PNG", "b"), ("b/2.jpg", "b")]
    assert [p.path for p in problems] == ["c"]


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="identity folder"):
        read_identities(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        read_identities(tmp_path / "absent")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.data())
def test_written_pairs_are_read_back(folds: int, each: int, data: st.DataObject) -> None:
    lines, expected = [f"{folds}\t{each}"], []
    for fold in range(folds):
        for same in (True, False):
            for _ in range(each):
                first, i, second, j = data.draw(PAIR)
                second = first if same else second
                columns = [first, i, j] if same else [first, i, second, j]
                lines.append("\t".join(map(str, columns)))
                expected.append((f"{first}_{i:04d}.jpg", f"{second}_{j:04d}.jpg", same, fold))
    pairs = read_lfw_pairs(written("\n".join(lines) + "\n"), Path("root"))
    assert [(p.first.name, p.second.name, p.same, p.fold) for p in pairs] == expected


@settings(max_examples=examples(150), deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("12a\t\n ²", max_size=40).map(str.encode)))
def test_arbitrary_lists_are_read_or_refused(content: bytes) -> None:
    for read in (read_people, lambda path: read_lfw_pairs(path, Path("root"))):
        try:
            read(written(content))
        except DataError:
            continue


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1"),
        ("1\nA\t1\t2\n", "promises 2 pairs, 1 follow"),
        ("1\nA\t1\t2\nA\t1\t2\n", "line 3 is not `name i name j`"),
        ("1\nA\t1\tB\t2\nA\t1\tB\t2\n", "line 2 is not `name i j`"),
        ("1\nA\t1\tx\nA\t1\tB\t2\n", "line 2 names no picture"),
        ("1\n../A\t1\t2\nA\t1\tB\t2\n", "line 2 names no picture"),
    ],
)
def test_a_pair_list_that_is_not_whole_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_lfw_pairs(written(text), Path("root"))


def test_people_of_one_set_and_of_several_are_read() -> None:
    assert read_people(written("2\nA\t1\nB\t3\n")) == ["A", "B"]
    assert read_people(written("2\n1\nA\t1\n2\nB\t3\nC\t1\n")) == ["A", "B", "C"]


@pytest.mark.parametrize("text", ["", "x", "3\nA\t1\n", "1\nA\t1\nB\t1\n", "1\n1\nA\n"])
def test_people_lists_whose_counts_disagree_are_refused(text: str) -> None:
    with pytest.raises(DataError):
        read_people(written(text))


@needs_lfw
def test_lfw_holds_its_published_numbers() -> None:
    samples, problems = read_identities(FACES)
    assert (len(samples), len({s.identity for s in samples}), problems) == (13233, 5749, [])
    assert len(read_people(LFW / "people.txt")) == 5749
    train = read_people(LFW / "peopleDevTrain.txt")
    test = read_people(LFW / "peopleDevTest.txt")
    assert (len(train), len(test), len(set(train) & set(test))) == (4038, 1711, 0)


@needs_lfw
def test_view_2_has_ten_folds_of_300_and_300_and_every_picture_exists() -> None:
    pairs = read_lfw_pairs(LFW / "pairs.txt", FACES)
    kinds = Counter((pair.fold, pair.same) for pair in pairs)
    assert kinds == {(fold, same): 300 for fold in range(10) for same in (True, False)}
    files = {sample.path for sample in read_identities(FACES)[0]}
    assert all(pair.first in files and pair.second in files for pair in pairs)
    assert all((p.first.parent == p.second.parent) == p.same for p in pairs)


@needs_lfw
@pytest.mark.parametrize(("name", "each"), [("pairsDevTrain.txt", 1100), ("pairsDevTest.txt", 500)])
def test_view_1_lists_are_one_fold(name: str, each: int) -> None:
    pairs = read_lfw_pairs(LFW / name, FACES)
    assert Counter((p.fold, p.same) for p in pairs) == {(0, True): each, (0, False): each}
