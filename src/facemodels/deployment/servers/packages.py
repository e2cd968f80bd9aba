"""Fetches the packages of versions in the background and keeps them for the next start."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from facemodels.errors import FacemodelsError, IntegrityError
from facemodels.package.verify import CHECKSUMS, verify
from facemodels.registry.packages import is_registered, obtain
from facemodels.registry.state import Entry

_AGAIN_S = 10.0  # seconds after a failed fetch before the next one


@dataclass
class _Fetch:
    """A fetch of a package that goes on, or the last one that failed."""

    future: Future[None]
    began: float = field(default_factory=time.monotonic)
    again_s: float = _AGAIN_S


class Packages:
    """The packages of one environment.

    Args:
        root: the root folder of the repository.
        folder: the folder in which the packages are kept.
        fetch: opens the verified package of a version, as `registry.packages.obtain` does.
    """

    def __init__(self, root: Path, folder: Path, fetch: Callable[..., object] = obtain) -> None:
        self._root = root
        self._folder = folder
        self._fetch = fetch
        self._pool = ThreadPoolExecutor(2, "packages")
        self._fetches: dict[str, _Fetch] = {}
        self._fetched_here: set[str] = set()  # ids that this process fetched and verified

    def folder(self, entry: Entry) -> Path | None:
        """The folder of a version's package; None until it is fetched, which begins here.

        The folder holds the package that was registered. The server that loads it verifies every
        byte again.
        """
        path = self._folder / entry.id
        fetch = self._fetches.get(entry.id)
        if fetch is not None and not fetch.future.done():
            return None
        if self._is_proven(path, entry):
            return path
        if fetch is None or self._due(fetch):
            self._fetches[entry.id] = _Fetch(self._pool.submit(self._fetch_into, entry, path))
        return None

    def suspect(self, identity: str) -> None:
        """Verify the package of a server that did not start; a broken one is fetched anew."""
        self._fetches[identity] = _Fetch(self._pool.submit(self._examine, identity), again_s=0.0)

    def _examine(self, identity: str) -> None:
        path = self._folder / identity
        try:
            verify(path)
        except IntegrityError:
            shutil.rmtree(path, ignore_errors=True)
            raise

    def problem(self, identity: str) -> str:
        """Why the last fetch of a version's package failed; "" if it did not."""
        fetch = self._fetches.get(identity)
        if fetch is None or not fetch.future.done():
            return ""
        error = fetch.future.exception()
        return str(error) if error is not None else ""

    def keep(self, identities: set[str]) -> None:
        """Delete the packages of all versions that are not named."""
        for path in self._folder.glob("*"):
            if path.name.removesuffix(".partial") not in identities:
                shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Begin no further fetch; those that go on are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _due(self, fetch: _Fetch) -> bool:
        return fetch.future.done() and time.monotonic() - fetch.began > fetch.again_s

    def _fetch_into(self, entry: Entry, path: Path) -> None:
        partial = path.with_name(f"{path.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            with self._fetch(self._root, entry) as package:  # type: ignore[attr-defined]
                shutil.copytree(package.folder, partial)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise FacemodelsError(
                f"the package of {entry.id} cannot be kept in {self._folder}: {error}.",
                "See that the disk has room.",
            ) from error
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
        self._fetched_here.add(entry.id)

    def _is_proven(self, path: Path, entry: Entry) -> bool:
        """Whether a folder holds the package that was registered.

        A version that GTO registered has no recorded digest. For it only a folder that this
        process fetched itself counts, so each start of a controller fetches it anew.
        """
        if entry.evidence.get("package"):
            return is_registered(path, entry)
        return entry.id in self._fetched_here and (path / CHECKSUMS).is_file()
