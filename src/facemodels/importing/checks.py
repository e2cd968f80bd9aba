"""Checks of a file that others made: each with its name, what was found, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from facemodels.errors import InputError


@dataclass(frozen=True)
class ImportCheck:
    """One check of an imported file.

    Attributes:
        name: what was looked at, for example `opset`.
        passed: whether the file can be used as far as this goes.
        found: what was found, a phrase.
        remedy: a sentence that says what to do, where it did not pass.
    """

    name: str
    passed: bool
    found: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the attributes; `remedy` only where the check did not pass."""
        values = asdict(self)
        if self.passed:
            values.pop("remedy")
        return values

    def row(self) -> dict[str, object]:
        """Return the row of a table for people."""
        return {"check": self.name, "passed": "yes" if self.passed else "NO", "found": self.found}


def require(checks: Sequence[ImportCheck], file: str) -> None:
    """Stop at a file that did not pass; every failed check is named.

    Raises:
        InputError: a check was not passed.
    """
    failed = [check for check in checks if not check.passed]
    if failed:
        raise InputError(
            f"{file} cannot be imported: "
            f"{'; '.join(f'{check.name}: {check.found}' for check in failed)}.",
            " ".join(dict.fromkeys(check.remedy for check in failed if check.remedy)),
        )
