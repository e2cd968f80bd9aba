"""Why a remote did not take an event, in words, from what git wrote: pure.

What git and the hosts write is matched by fragments that they have kept for years; whatever
matches none is quoted as it stands.
"""

from __future__ import annotations

# (fragments, of which one is in what git wrote; what that means; what to do)
_KNOWN = (
    (
        ("insufficient permission", "Read-only file system", "Operation not permitted",
         "Unable to create temporary file", ".lock': Permission denied"),
        "its files cannot be written there",
        "Have whoever keeps the host give you write access to the repository's folder. Nothing was "
        "changed.",
    ),
    (
        (".lock': File exists", "cannot lock ref", "Unable to create"),
        "a file locks a ref there",
        "If no other git runs there, remove the lock file that it names. Nothing was changed.",
    ),
    (
        ("does not support --atomic", "does not support atomic"),
        "the host takes no atomic pushes, which the registry needs: a tag and the head of the "
        "chain have to change together",
        "Set `git config receive.advertiseAtomic true` in the repository on the host, or use "
        "another host as the registry's remote.",
    ),
    (  # GitHub, GitLab, Azure DevOps, Gerrit
        ("GH013", "GH006", "protected tag", "Protected tag", "create protected", "rule violations",
         "as it is protected", "'CreateTag'", "TF402455", "prohibited by Gerrit"),
        "the host protects these tags or refs",
        "Have its rules let you create tags named MODEL@… and MODEL#… and change "
        "refs/facemodels/head.",
    ),
    (
        ("pre-receive hook declined", "hook declined", "update hook declined"),
        "a hook on the host refused it",
        "Its words are above; settle it with whoever keeps the host. Nothing was changed.",
    ),
    (
        ("deny updating a hidden ref", "funny refname", "hidden ref"),
        "the host takes no refs but branches and tags, and the chain needs its head beside them",
        "Have it allow refs/facemodels/ (receive.hideRefs), or use another host.",
    ),
    (
        ("No space left", "quota", "disk full"),
        "the host has no room left",
        "Free some there and run it again. Nothing was changed.",
    ),
    (
        (
            "Permission denied", "uthentication failed", "could not read Username", "error: 403",
            "error: 401", "Permission to", "not allowed to push", "read-only", "access denied",
        ),
        "it does not let you push",
        "Check your access to the remote (`git push --dry-run`). Nothing was changed.",
    ),
    (  # git adds words about access rights to most of these
        ("Could not resolve host", "Connection refused", "unable to access", "timed out",
         "does not appear to be a git repository", "Could not read from remote"),
        "it cannot be reached",
        "Check the connection and `git remote -v`, and run it again. Nothing was changed.",
    ),
)  # fmt: skip


def explain(stderr: str) -> tuple[str, str]:
    """Say why a push was not taken.

    Args:
        stderr: what git wrote.

    Returns:
        The reason, "" if it is not known, and what to do about it.
    """
    for fragments, reason, remedy in _KNOWN:
        if any(fragment in stderr for fragment in fragments):
            return reason, remedy
    return "", "Nothing was changed. Settle what it says above with the remote, and run it again."
