"""Who may do what in the registry, and under which licences, from conf/registry.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from facemodels.errors import InputError, RuleError
from facemodels.git import Git
from facemodels.params import UNKNOWN

Role = Literal["register", "promote"]
PATH = Path("conf", "registry.yaml")
_ORIGIN = ("author", "license", "training_dataset")  # what every card must state


@dataclass(frozen=True)
class RegistryPolicy:
    """The rules of one repository.

    Attributes:
        remote: the Git remote that decides who was first; a clone that has one remote under
            another name takes that. "" for a registry of one clone.
        signatures: `required` makes every act sign its tag and every audit check the signatures.
        allowed_signers: the path of OpenSSH's file of keys (ssh-keygen(1), ALLOWED SIGNERS), from
            the root of the repository; GPG keys come from the user's keyring.
        roles: the roles of each principal (a name in that file, or a GPG fingerprint). If it is
            empty, everyone who may push may do everything.
        licenses: the licences that a version may have, as SPDX identifiers; empty allows all.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    remote: str = "origin"
    signatures: Literal["off", "required"] = "off"
    allowed_signers: str = "conf/allowed_signers"
    roles: dict[str, tuple[Role, ...]] = field(default_factory=dict)
    licenses: tuple[str, ...] = ()

    def may(self, principal: str, role: Role) -> bool:
        """Whether a principal has a role."""
        return not self.roles or role in self.roles.get(principal, ())

    def require(self, principal: str, role: Role) -> None:
        """Stop a principal who lacks a role.

        Raises:
            RuleError: the principal may not do it.
        """
        if not self.may(principal, role):
            able = [name for name, roles in sorted(self.roles.items()) if role in roles]
            raise RuleError(
                f"{principal} may not {role}.",
                f"{PATH} lets {', '.join(able) or 'nobody'} do it.",
            )

    def require_origin(self, name: str, words: Mapping[str, Any]) -> None:
        """Stop a version whose origin nobody stated, or whose licence nobody allowed.

        Args:
            name: the model or the version.
            words: its card, by field.

        Raises:
            RuleError: author, licence or training dataset is "unknown", or the licence is not
                in the list.
        """
        missing = [field for field in _ORIGIN if words.get(field) == UNKNOWN]
        if missing:
            raise RuleError(
                f"{name} has an unknown {', '.join(missing)}.",
                "State it in the card and package the version again (`facemodels package`), or "
                "import it again with --author and --training-dataset.",
            )
        self.require_license(name, str(words.get("license", "")))

    def require_license(self, name: str, license: str) -> None:
        """Stop a version whose licence nobody allowed.

        Args:
            name: the model or the version.
            license: its licence.

        Raises:
            RuleError: the licence is not in the list.
        """
        if self.licenses and license not in self.licenses:
            raise RuleError(
                f"the licence of {name} is {license or 'not stated'}, and {PATH} allows "
                f"{', '.join(self.licenses)}.",
                f"Release other weights, or add the licence to `licenses` in {PATH}, if whoever "
                f"answers for it agrees.",
            )


def role_of(act: str) -> Role:
    """The role that an act asks for."""
    return "register" if act == "register" else "promote"


def load(root: Path, path: Path | None = None) -> RegistryPolicy:
    """Read the policy of a repository; it has the defaults if there is no file.

    Args:
        root: the root folder of the repository.
        path: the file to read; None reads conf/registry.yaml.

    Raises:
        InputError: the file is not what it should be, or is committed and not here.
    """
    path = path or root / PATH
    if not path.is_file():
        _require_none(root, path)
        return RegistryPolicy()
    # pydantic takes 0.1 s to import, and reading the registry must not wait for it.
    from pydantic import TypeAdapter, ValidationError

    from facemodels.params import load_yaml

    try:
        values = load_yaml(path)
        if values.get("signatures") is False:  # YAML 1.1 reads a bare `off` so
            values["signatures"] = "off"
        return TypeAdapter(RegistryPolicy).validate_python(values)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InputError(
            f"{PATH}: {where}: {problem['msg']}.", "See docs/formats/registry.md."
        ) from error


def _require_none(root: Path, path: Path) -> None:
    """Stop where the rules are committed, and the working tree, a sparse one perhaps, lacks them.

    Raises:
        InputError: they are, so that an act would go by no rules.
    """
    if path != root / PATH or not (root / ".git").exists():
        return
    if Git(root).file("HEAD", PATH.as_posix()) is not None:
        raise InputError(
            f"{PATH} is committed, and this working tree does not have it: whose signature an "
            "event needs is not known.",
            f"git restore {PATH}; in a sparse checkout: git sparse-checkout add {PATH.parent}",
        )
