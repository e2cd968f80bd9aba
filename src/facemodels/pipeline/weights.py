"""Brings weights that others publish to `data/weights/`, verified and tracked by DVC.

The transfer is ours, because DVC cannot go on after a cut; see `download`. What is tracked is
DVC's own: `dvc import-url --no-download` records the URL and its ETag, and `dvc commit` the
file. So `dvc push` and `dvc pull` share it, and a stage that starts from it depends on it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from facemodels.dvc_files import dvc_repository
from facemodels.errors import ConflictError, DataError, FacemodelsError, InputError, ToolError
from facemodels.files import sha256, write_text
from facemodels.params import WeightsDownload
from facemodels.pipeline.download import discard, download
from facemodels.progress import progress

CONF = Path("conf", "weights.yaml")
PARTIAL = Path(".cache", "weights")  # below the root; neither Git nor DVC looks there
_WIDTH = 4096  # columns; no line of conf/weights.yaml is folded

State = Literal["present", "absent", "partial", "altered", "not pinned"]


@dataclass(frozen=True)
class FetchedWeights:
    """What `fetch` or `pin` did.

    Attributes:
        name: the name of the weights.
        file: where they lie, from the root.
        size: bytes.
        sha256: digest of the file.
        downloaded: whether they came over the network now.
        tracked: how DVC knows them: by `import-url`, by `add`, or as it did `before`.
    """

    name: str
    file: str
    size: int
    sha256: str
    downloaded: bool
    tracked: Literal["import-url", "add", "before"]


def chosen(weights: Mapping[str, WeightsDownload], name: str) -> WeightsDownload:
    """Find weights by their name.

    Raises:
        InputError: there are none of that name.
    """
    if name not in weights:
        raise InputError(
            f"{CONF} has no weights {name!r}, it has {', '.join(weights) or 'none'}.",
            "Give one of them, or add it there and run `facemodels params`.",
        )
    return weights[name]


def state_of(root: Path, wanted: WeightsDownload) -> State:
    """Say how the file of weights is, by its bytes."""
    path = root / wanted.file
    if wanted.sha256 is None:
        return "not pinned"
    if path.is_file():
        return "present" if _found(path) == (wanted.size, wanted.sha256) else "altered"
    return "partial" if _partial(root, wanted).is_file() else "absent"


def fetch(root: Path, wanted: WeightsDownload) -> FetchedWeights:
    """Bring a file to its place, if it is not there, and let DVC track it.

    The file gets its name only when its size and SHA-256 are those that are pinned. A file that
    somebody put there by hand is verified and tracked without the network.

    Raises:
        InputError: nobody has pinned the digest.
        DataError: the file that is there, or that the server has, is another one.
        ToolError: the server cannot be reached, the disk is full, or DVC fails.
        ConflictError: another process fetches the same weights.
    """
    if wanted.sha256 is None or wanted.size is None:
        raise InputError(
            f"{CONF} pins no size and SHA-256 for {wanted.name}, so nothing can be verified.",
            f"Write them there, or run `facemodels weights pin {wanted.name}`.",
        )
    target = root / wanted.file
    if target.exists():
        _require_pinned(target, wanted, f"{wanted.file} was left as it is. Move it away.")
        return _fetched(wanted, downloaded=False, tracked=_track_present(root, wanted))
    with _alone(root, wanted) as partial:
        try:
            _download_verified(partial, wanted)
        except ToolError as error:
            raise ToolError(error.what, f"{error.remedy} {_by_hand(wanted)}") from error
        return _fetched(wanted, downloaded=True, tracked=_place(root, wanted, partial))


def bring_unpinned(root: Path, wanted: WeightsDownload) -> WeightsDownload:
    """Download weights that nobody has pinned, to be looked at; they get no name yet.

    Returns:
        The pin that they would have.

    Raises:
        InputError: they are pinned already.
        ToolError: the server cannot be reached, or the disk is full.
        ConflictError: another process fetches the same weights.
    """
    if wanted.sha256 is not None:
        raise InputError(
            f"{CONF} pins {wanted.name} to {wanted.sha256}.",
            f"Run `facemodels weights fetch {wanted.name}`.",
        )
    if (root / wanted.file).exists():
        raise InputError(f"{wanted.file} is there already.", "Move it away.")
    with _alone(root, wanted) as partial:
        with progress(f"download {wanted.name}, bytes", None) as advance:
            download(wanted.url, partial, size=None, advance=advance)
        size, digest = _found(partial)
        return wanted.model_copy(update={"size": size, "sha256": digest})


def pin(root: Path, found: WeightsDownload) -> FetchedWeights:
    """Write the pin of `bring_unpinned` into conf/weights.yaml and give the file its name.

    Raises:
        DataError: the downloaded file is no longer the one that was looked at.
        ParamsError: conf/weights.yaml cannot be edited.
    """
    with _alone(root, found) as partial:
        if not partial.is_file() or _found(partial) != (found.size, found.sha256):
            raise DataError(f"{partial} has changed.", "Run it again.")
        path = root / CONF
        write_text(path, edit_pin(path.read_text(encoding="utf-8"), found))
        return _fetched(found, downloaded=True, tracked=_place(root, found, partial))


def edit_pin(text: str, found: WeightsDownload) -> str:
    """Write size and SHA-256 into the text of conf/weights.yaml; comments are kept. Pure.

    Raises:
        InputError: the text has no such weights.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width, yaml.preserve_quotes = _WIDTH, True
    values = yaml.load(text)
    if found.name not in values:
        raise InputError(f"{CONF} has no weights {found.name!r}.", "Add them there first.")
    entry = values[found.name]
    entry["size"], entry["sha256"] = found.size, found.sha256
    entry.ca.items.pop("size", None)  # the remark that it is not pinned
    stream = io.StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()


@contextmanager
def _alone(root: Path, wanted: WeightsDownload) -> Iterator[Path]:
    """Hold the lock of a partial file and give its path."""
    partial = _partial(root, wanted)
    partial.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{partial}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConflictError(
            f"another process fetches {wanted.name}.", "Wait until it is done."
        ) from error
    try:
        yield partial
    finally:
        lock.release()


def _download_verified(partial: Path, wanted: WeightsDownload) -> None:
    """Download until the digest is right; parts of an earlier try get one chance."""
    while True:
        complete = partial.is_file() and partial.stat().st_size == wanted.size
        with progress(f"download {wanted.name}, bytes", wanted.size) as advance:
            resumed = complete or download(wanted.url, partial, size=wanted.size, advance=advance)
        size, digest = _found(partial)
        if digest == wanted.sha256:
            return
        discard(partial)
        if not resumed:
            raise DataError(
                f"{wanted.url} has {size} bytes with the SHA-256 {digest}, and {wanted.sha256} is "
                "pinned: it is another file.",
                f"Nothing was kept. Ask its author before you pin it anew in {CONF}.",
            )


def _place(root: Path, wanted: WeightsDownload, partial: Path) -> Literal["import-url", "add"]:
    """Give a verified file its name, and let DVC track it by its URL where it can."""
    from dvc.exceptions import DvcException

    target = root / wanted.file
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with dvc_repository(root) as repo:
            try:
                repo.imp_url(wanted.url, out=str(target), no_download=True, force=True)
            except (DvcException, OSError):
                by_url = False
            else:
                by_url = True
            partial.replace(target)
            discard(partial)
            if by_url:
                repo.commit(f"{target}.dvc", force=True)
    except (DvcException, OSError) as error:
        raise ToolError(
            f"{wanted.file} cannot be put in its place and tracked: {error}.",
            f"If it is there, run `facemodels weights fetch {wanted.name}` again.",
        ) from error
    if not by_url:
        _add(root, wanted)
    return "import-url" if by_url else "add"


def _track_present(root: Path, wanted: WeightsDownload) -> Literal["before", "add"]:
    if (root / f"{wanted.file}.dvc").is_file():
        return "before"
    _add(root, wanted)
    return "add"


def _add(root: Path, wanted: WeightsDownload) -> None:
    from dvc.exceptions import DvcException

    try:
        with dvc_repository(root) as repo:
            repo.add(str(root / wanted.file))
    except (DvcException, OSError) as error:
        raise ToolError(f"`dvc add {wanted.file}` fails: {error}.", "Settle that first.") from error


def _require_pinned(path: Path, wanted: WeightsDownload, remedy: str) -> None:
    size, digest = _found(path)
    if (size, digest) != (wanted.size, wanted.sha256):
        raise DataError(
            f"{wanted.file} has {size} bytes with the SHA-256 {digest}; {wanted.size} bytes with "
            f"{wanted.sha256} are pinned.",
            remedy,
        )


def _fetched(
    wanted: WeightsDownload, *, downloaded: bool, tracked: Literal["import-url", "add", "before"]
) -> FetchedWeights:
    if wanted.size is None or wanted.sha256 is None:
        raise FacemodelsError(f"{wanted.name} is not pinned.")
    return FetchedWeights(wanted.name, wanted.file, wanted.size, wanted.sha256, downloaded, tracked)


def _by_hand(wanted: WeightsDownload) -> str:
    return (
        f"Without a network, put the file there by hand: {wanted.url} to {wanted.file}, "
        f"{wanted.size} bytes, SHA-256 {wanted.sha256}. Then run this command again."
    )


def _partial(root: Path, wanted: WeightsDownload) -> Path:
    return root / PARTIAL / f"{Path(wanted.file).name}.part"


def _found(path: Path) -> tuple[int, str]:
    return path.stat().st_size, sha256(path)
