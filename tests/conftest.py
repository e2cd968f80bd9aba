"""Isolation of every test: its own HOME, its own Git identity, no network, no telemetry."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
_MANY_FILES = 300  # that a worker may hold open; many systems allow 1,024
_LOOPBACK = ("127.", "localhost", "::1")


def pytest_configure(config: pytest.Config) -> None:
    # The suite of a package runs without hypothesis, which takes 0.4 s to import.
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import settings

        few = "not full" in config.option.markexpr
        # A time limit for each example (200 ms by default) fails on a busy machine.
        settings.register_profile("tests", deadline=None, max_examples=40 if few else 100)
        settings.load_profile("tests")
    _trust_one_authority(config)
    _spare_git(config)
    _leave_home(config)
    gc.disable()  # until all is imported: nothing of that is garbage


def pytest_collection_finish() -> None:
    """The default is to look for cycles after 700 new objects: a tenth of the time of tests."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


def _trust_one_authority(config: pytest.Config) -> None:
    """Every client of httpx reads all authorities, for 27 ms, and ours speak to no one by TLS."""
    end = "-----END CERTIFICATE-----\n"
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        file.write(Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end)
    os.environ["SSL_CERT_FILE"] = file.name  # processes that tests start inherit it
    config.add_cleanup(lambda: Path(file.name).unlink(missing_ok=True))


def _spare_git(config: pytest.Config) -> None:
    """No process after each commit that looks what to tidy up, no samples of hooks to be copied."""
    template = Path(tempfile.mkdtemp(prefix="facemodels-gittemplate-"))
    (template / "hooks").mkdir()
    (template / "info").mkdir()
    config.add_cleanup(lambda: shutil.rmtree(template, ignore_errors=True))
    with tempfile.NamedTemporaryFile("w", suffix=".gitconfig", delete=False) as file:
        file.write(
            "[maintenance]\n auto = false\n[receive]\n autogc = false\n[core]\n fsync = none\n"
            f"[init]\n templateDir = {template}\n"
        )
    os.environ["GIT_CONFIG_SYSTEM"] = file.name
    config.add_cleanup(lambda: Path(file.name).unlink(missing_ok=True))


def _leave_home(config: pytest.Config) -> None:
    """Fixtures of a module or session run outside of the isolation of each test."""
    home = Path(tempfile.mkdtemp(prefix="facemodels-home-"))
    os.environ.update(_environment(home))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))


def _environment(home: Path) -> dict[str, str]:
    who = {"NAME": "Test", "EMAIL": "test@example.invalid"}
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "DVC_NO_ANALYTICS": "true",
        **{f"GIT_{act}_{key}": who[key] for act in ("AUTHOR", "COMMITTER") for key in who},
    }


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One HOME for all tests of a worker, as a folder takes the disk 7 ms to remove."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def isolated(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    home = empty_home
    for name, value in _environment(home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GIT_CONFIG_NOSYSTEM", raising=False)  # see _spare_git
    for name in list(os.environ):
        if name.startswith(("DVC_EXP", "DVC_STAGE", "DVC_ROOT", "AWS_")):
            monkeypatch.delenv(name)
    yield
    if next(home.iterdir(), None) is not None:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(exist_ok=True)
    _close_what_dvc_left()


def _close_what_dvc_left() -> None:
    """A repository of DVC holds its databases open until it is looked for as garbage."""
    if len(os.listdir("/proc/self/fd")) > _MANY_FILES:  # noqa: PTH208  (after every test)
        gc.collect()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def only_loopback(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", only_loopback)


# The longest files first: a worker that is given one of them last runs on alone. The first one
# builds a clone, and the second, in `make test-full`, one of its own; those that need the first
# one's come when it is built, so that no worker waits for another's.
_LONGEST = (
    "test_release.py",
    "test_rebuild.py",
    "test_faults_kills.py",
    "test_faults_surroundings.py",
    "test_recipe.py",
    "test_faults_operators.py",
    "test_conformance.py",
    "test_backup.py",
    "test_pipeline.py",
    "test_retention.py",
    "test_push.py",
    "test_cli.py",
    "test_setup.py",
    "test_races.py",
    "test_interop.py",
    "test_schema.py",
    "test_deploy.py",
    "test_variant.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))
