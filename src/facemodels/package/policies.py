"""Finds who must have signed a package: the policy that was named, or those of the repositories.

A policy is obeyed wherever the command is started. Two places have a say: the repository that the
package lies in, and the one that the command runs in. Each may require a signature, and neither
can be got round by a change of folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facemodels.git import repository_file
from facemodels.package.load import Package, Signature, open_package
from facemodels.package.signature import POLICY, read_policy


@dataclass(frozen=True)
class AllPolicies:
    """Several policies, each of which must be satisfied.

    Attributes:
        policies: those that require a signature.
    """

    policies: tuple[Signature, ...]

    @property
    def required(self) -> bool:
        """Whether an unsigned package is refused."""
        return bool(self.policies)

    def check(self, folder: Path, digests: Mapping[str, str]) -> str:
        """Who signed, as each policy tells it; errors as `SignaturePolicy.check` raises them."""
        told = [policy.check(folder, digests) for policy in self.policies]
        return "; ".join(dict.fromkeys(told))


def policy_of(package: Path, named: Path | None = None, *, here: Path | None = None) -> Signature:
    """Who must have signed a package.

    Args:
        package: its folder, or a file in it.
        named: the file of a policy; then no other counts.
        here: where the command runs; None takes the current folder.

    Raises:
        ParamsError: a file is missing, cannot be read or does not fit the schema. A policy that
            was named and is not there is a refusal too.
        InputError: it cannot be told whether a repository has a policy.
    """
    if named is not None:
        return read_policy(named)
    places = (package.absolute(), here or Path.cwd())
    files = {repository_file(POLICY, place) for place in places} - {None}
    found = (read_policy(file) for file in sorted(file for file in files if file is not None))
    return AllPolicies(tuple(policy for policy in found if policy.required))


def open_signed(package: Path, named: Path | None = None, *, here: Path | None = None) -> Package:
    """Verify and open a package that a command was given, signed as the policies require.

    Args:
        package: see `policy_of`.
        named: likewise.
        here: likewise.

    Raises:
        ParamsError: see `policy_of`.
        InputError: no package is there, or see `policy_of`.
        IntegrityError: it is not what its checksums say, or not signed as required.
    """
    return open_package(package, signature=policy_of(package, named, here=here))
