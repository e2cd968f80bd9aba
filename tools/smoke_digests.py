"""The digests of a build of `profile=smoke`, which are the same on every machine with AVX2.

tests/golden/smoke.json holds them, and tests/functional/test_portable.py builds the profile and
compares. After a change that alters the pictures or the trainings on purpose, write them anew
from a build; a build on another machine, or under another processor of `qemu-user`, must agree
(docs/determinism.md).

    python tools/smoke_digests.py FOLDER            # print how the build in FOLDER differs
    python tools/smoke_digests.py FOLDER --write    # take its digests
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "tests" / "golden" / "smoke.json"
# Pictures, weights and graphs. The records beside them name versions of packages, and reports gain
# figures with every other change.
COMPUTED = ("data/prepared/*/*/*", "build/*/model/model.*", "models/*/*/*.onnx")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each computed file below the root of a build, by path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in COMPUTED
        for path in sorted(folder.glob(pattern))
    }


def differences(folder: Path) -> list[str]:
    """Paths of the files that a build has and the table has otherwise, or that it lacks."""
    known, found = json.loads(TABLE.read_text(encoding="utf-8")), digests(folder)
    return [path for path in sorted(known | found) if known.get(path) != found.get(path)]


def processor() -> str:
    """The name of this machine's processor, for messages."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def main() -> None:
    """Compare a build with the table, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="the root of a repository with a build")
    parser.add_argument("--write", action="store_true", help="take the digests of the build")
    given = parser.parse_args()
    if given.write:
        TABLE.write_text(json.dumps(digests(given.folder), indent=1) + "\n", encoding="utf-8")
        return
    found = differences(given.folder)
    if found:
        sys.exit(f"{processor()}: other bytes than the table's:\n" + "\n".join(found))
    print(f"{processor()}: the bytes of the table.")


if __name__ == "__main__":
    main()
