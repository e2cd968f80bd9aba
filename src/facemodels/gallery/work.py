"""Where a gallery has what is neither tracked by DVC nor committed: `galleries/.work/<name>/`."""

from __future__ import annotations

from pathlib import Path

from facemodels.gallery.spaces import FACES


def make_private(*folders: Path) -> None:
    """Make folders that only their owner can read; those that are there stay as they are."""
    for folder in folders:  # each by itself: `parents=True` gives those above other permissions
        folder.mkdir(mode=0o700, exist_ok=True)


def work_folder(folder: Path) -> Path:
    """The work folder of a gallery, made if needed."""
    work = _work(folder)
    make_private(work.parent, work)
    ignore = work.parent / ".gitignore"
    if not ignore.is_file():
        ignore.write_text("*\n", encoding="utf-8")
    return work


def discard_embedded(folder: Path) -> None:
    """Delete what migrations put aside: it holds faces that may have been removed."""
    for part in _work(folder).glob(f"*/{FACES}"):
        part.unlink()


def sweep(folder: Path) -> None:
    """Delete files that a killed process left half-written: they hold faces of people."""
    for path in (*folder.rglob(".*"), *_work(folder).rglob(".*")):
        if path.is_file():
            path.unlink()


def _work(folder: Path) -> Path:
    return folder.parent / ".work" / folder.name
