"""The example in the docstring of each package of storage runs, in a clone of the golden backup."""

from __future__ import annotations

import shutil
import textwrap
from importlib import import_module
from pathlib import Path

import pytest

from facemodels.storage.backup import bundle

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "backup"
PACKAGES = ("stores", "sync", "retention", "backup", "remotes")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the remotes `storage` and `backup`, which hold the same."""
    folder = tmp_path_factory.mktemp("examples")
    for name in ("storage", "backup"):
        shutil.copytree(GOLDEN, folder / name)
    root = bundle.unpack(next((GOLDEN / "registry/bundles").iterdir()), folder / "clone").root
    lines = ["[core]", "    remote = storage", "    analytics = false"]
    for name in ("storage", "backup"):
        lines += [f"['remote \"{name}\"']", f"    url = ../../{name}", "    verify = true"]
    (root / ".dvc/config").write_text("\n".join(lines) + "\n")
    (root / "conf/registry.yaml").write_text('remote: ""\n')  # the clone has no Git remote
    return root


@pytest.mark.parametrize("name", PACKAGES)
def test_the_example_runs(name: str, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = import_module(f"facemodels.storage.{name}").__doc__ or ""
    example = textwrap.dedent(text[text.index("    from pathlib") :])
    monkeypatch.chdir(clone)
    names: dict[str, object] = {}
    exec(compile(example, f"facemodels.storage.{name}", "exec"), names)  # noqa: S102  (our text)
    assert names["Path"] is Path
