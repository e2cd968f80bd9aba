"""Print the tests that mirror what a change touches, for `make test-quick`.

A changed module of the library stands for the unit tests of its room and for the unit tests that
import it; a changed unit test stands for itself; files of the pipeline, the configuration and the
docs stand for the tests that read them. Functional tests start processes and take
minutes, so they are not printed: name the file to pytest. The comparison is with the merge base
of a branch:

    python tools/quick_tests.py [BRANCH]
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = Path("src", "facemodels")
UNIT = Path("tests", "unit")
# What holds the whole tree: cheap, and any change may break it.
ALWAYS = ("test_dvc_yaml.py", "test_vocabulary.py", "test_errors.py")
# What is no module of the library, and the tests that read it.
READ_BY = {
    Path("dvc.yaml"): ("test_dvc_yaml.py", "test_dvc_files.py"),
    Path("stages"): ("test_dvc_yaml.py", "pipeline"),
    Path("params.yaml"): ("test_dvc_yaml.py", "test_params.py"),
    Path("conf"): ("test_dvc_yaml.py", "test_params.py", "test_settings_tables.py"),
    Path("docs"): ("test_settings_tables.py",),
    Path("tools"): ("test_quick_tests.py", "test_settings_tables.py", "test_dvc_yaml.py"),
}


def changed_files(branch: str) -> list[Path]:
    """Files that differ from the merge base with a branch, untracked ones included."""
    base = _git("merge-base", "HEAD", branch)[0]
    return [Path(name) for name in (*_git("diff", "--name-only", base), *_untracked())]


def mirrored(changed: Iterable[Path], root: Path) -> list[Path]:
    """The test files and folders that a change asks for, sorted.

    Args:
        changed: paths below the root of the repository.
        root: the root of the repository.
    """
    found: set[Path] = set()
    modules: set[str] = set()
    for path in changed:
        if path.is_relative_to(UNIT) and path.name.startswith("test_"):
            found.add(path)
        elif path.is_relative_to(UNIT):  # a helper of tests stands for its folder
            found.add(path.parent)
        elif path.is_relative_to(SOURCE) and path.suffix == ".py":
            modules.add(_module(path))
            found.add(_mirror(path))
        else:
            found |= {UNIT / name for name in _readers(path)}
    if modules:
        found |= {UNIT / name for name in ALWAYS}
        found |= _importers(modules, root)
    return _outermost(path for path in found if (root / path).exists())


def _readers(path: Path) -> tuple[str, ...]:
    """The tests that read a file or a folder above it."""
    return next((names for read, names in READ_BY.items() if path.is_relative_to(read)), ())


def _mirror(path: Path) -> Path:
    """The tests of a module: a folder for a package, a file for a module of the ground floor."""
    room = path.relative_to(SOURCE)
    return UNIT / room.parent if room.parent.parts else UNIT / f"test_{room.stem}.py"


def _module(path: Path) -> str:
    return ".".join(path.relative_to("src").with_suffix("").parts).removesuffix(".__init__")


def _importers(modules: set[str], root: Path) -> set[Path]:
    """Unit tests that import one of the modules by name."""
    tests = sorted((root / UNIT).rglob("test_*.py"))
    return {test.relative_to(root) for test in tests if modules & _imports(test)}


def _imports(test: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(test.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Paths that lie below none of the others."""
    every = set(paths)
    return sorted(path for path in every if not every & set(path.parents))


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def _untracked() -> list[str]:
    return _git("ls-files", "--others", "--exclude-standard")


if __name__ == "__main__":
    print(*mirrored(changed_files(sys.argv[1] if len(sys.argv) > 1 else "HEAD"), ROOT))
