from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels import params
from facemodels.errors import InputError, RuleError
from facemodels.git import Git
from facemodels.registry import policy
from facemodels.registry.policy import RegistryPolicy

ROOT = Path(__file__).resolve().parents[3]
roles = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.sampled_from(["register", "promote"]), unique=True).map(tuple),
)


def written(root: Path, text: str) -> Path:
    (root / "conf").mkdir(exist_ok=True)
    (root / policy.PATH).write_text(text)
    return root


def test_a_repository_without_the_file_has_the_defaults(tmp_path: Path) -> None:
    assert policy.load(tmp_path) == RegistryPolicy()


def test_a_file_that_is_committed_and_not_in_the_working_tree_is_no_default(
    tmp_path: Path, isolated: None
) -> None:
    git = Git(written(tmp_path, "signatures: required\n"))
    git.text("init", "--quiet")
    git.text("add", "conf")
    git.text("commit", "--quiet", "--message=rules")
    (tmp_path / policy.PATH).unlink()
    with pytest.raises(InputError, match=r"is committed.*sparse-checkout add conf"):
        policy.load(tmp_path)


def test_the_projects_own_file_says_the_defaults_and_the_licences() -> None:
    own = policy.load(ROOT)
    assert own == RegistryPolicy(licenses=own.licenses)
    assert not [name for name in own.licenses if "300-W" in name]


def test_every_model_of_the_project_has_a_licence_that_it_may_be_released_under() -> None:
    for name, model in params.load(ROOT / "params.yaml").models.items():
        policy.load(ROOT).require_license(name, model.card.license)


def test_a_licence_that_is_not_in_the_list_is_refused_unless_there_is_no_list() -> None:
    RegistryPolicy().require_license("x", "Secret")
    own = RegistryPolicy(licenses=("MIT",))
    own.require_license("x", "MIT")
    for stated in ("LicenseRef-300-W-non-commercial", "", "mit"):
        with pytest.raises(RuleError, match="licence of x"):
            own.require_license("x", stated)


def test_a_file_is_read_as_written(tmp_path: Path) -> None:
    text = """\
remote: upstream
signatures: required
allowed_signers: keys
roles:
  releaser@example.org: [register, promote]
  builder@example.org: [register]
"""
    assert policy.load(written(tmp_path, text)) == RegistryPolicy(
        "upstream", "required", "keys",
        {"releaser@example.org": ("register", "promote"), "builder@example.org": ("register",)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("signature: required", "signature"),
        ("signatures: on please", "signatures"),
        ("roles: {a: [admin]}", "roles.a.0"),
        ("roles: [a]", "roles"),
        ("remote: [origin]", "remote"),
        ("[]", "mapping"),
        ("remote: {", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_by_its_key(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(InputError, match=where):
        policy.load(written(tmp_path, text))


@given(roles, st.sampled_from("abcde"), st.sampled_from(["register", "promote"]))
def test_who_lacks_a_role_is_refused_unless_there_are_no_roles(
    given_roles: dict[str, tuple[policy.Role, ...]], who: str, role: policy.Role
) -> None:
    rules = RegistryPolicy(roles=given_roles)
    allowed = not given_roles or role in given_roles.get(who, ())
    assert rules.may(who, role) == allowed
    if allowed:
        rules.require(who, role)
        return
    with pytest.raises(RuleError) as refused:
        rules.require(who, role)
    able = sorted(name for name, held in given_roles.items() if role in held)
    assert (", ".join(able) or "nobody") in refused.value.remedy


@pytest.mark.parametrize("field", ["author", "license", "training_dataset"])
def test_a_version_of_unknown_origin_is_refused_by_every_policy(field: str) -> None:
    words = {"author": "Ann", "license": "MIT", "training_dataset": "HELEN"}
    RegistryPolicy().require_origin("x", words)
    with pytest.raises(RuleError, match=f"unknown {field}"):
        RegistryPolicy().require_origin("x", words | {field: "unknown"})
