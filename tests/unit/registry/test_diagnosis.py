"""What git and the hosts write when they refuse a push, as it was seen, and what it is taken for."""

from __future__ import annotations

import pytest

from facemodels.registry.diagnosis import explain

_GIT = (
    "\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct "
    "access rights\nand the repository exists."
)


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("remote: error: cannot lock ref 'refs/tags/x': Unable to create '/x.lock': File exists.",
         "a file locks"),
        ("remote: error: cannot lock ref 'x': Unable to create '/x.lock': Read-only file system",
         "cannot be written"),
        ("error: insufficient permission for adding an object to repository database ./objects",
         "cannot be written"),
        ("remote: GitLab: You are not allowed to create this tag as it is protected.\n"
         "! [remote rejected] x (pre-receive hook declined)", "protects"),
        ("remote: error: GH013: Repository rule violations found for refs/tags/x", "protects"),
        ("remote: TF401027: You need the Git 'CreateTag' permission", "protects"),
        ("! [remote rejected] x (prohibited by Gerrit: not permitted: create)", "protects"),
        (f"fatal: 'no_push' does not appear to be a git repository{_GIT}", "cannot be reached"),
        (f"ssh: Could not resolve hostname x{_GIT}", "cannot be reached"),
        (f"git@x: Permission denied (publickey).{_GIT}", "does not let you push"),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 403",
         "does not let you push"),
        # An object id may hold any number.
        ("! [remote rejected] 3a403da401d35778edc6be4e5f3830bee43e383c -> x (hook declined)",
         "a hook on the host"),
        ("something new", ""),
    ],
)  # fmt: skip
def test_a_refusal_is_known_by_what_was_written(stderr: str, reason: str) -> None:
    found, remedy = explain(stderr)
    assert found.find(reason) >= 0
    assert bool(found) == bool(reason)
    assert remedy
