"""Real keys of OpenSSH and GPG: who signed what, and who may."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from facemodels.errors import FacemodelsError, InputError, RuleError, ToolError
from facemodels.registry import reading, signatures
from facemodels.registry.policy import RegistryPolicy, Role

from .conftest import NOW, V1, Clone, kinds, move

FIRST, STAGED = "recognition-facenet@v1.0.0", "recognition-facenet#staging#1"
BUILDER, RELEASER, STRANGER = "builder@example.org", "releaser@example.org", "stranger"
ROLES: dict[str, tuple[Role, ...]] = {BUILDER: ("register",), RELEASER: ("register", "promote")}
REQUIRED = RegistryPolicy(remote="", signatures="required", roles=ROLES)
OFF = RegistryPolicy(remote="")

needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")
needs_gpg = pytest.mark.skipif(
    shutil.which("gpg") is None or shutil.which("gpgconf") is None, reason="no gpg here"
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Private keys by principal; a key that nobody allows among them."""
    folder = tmp_path_factory.mktemp("keys")
    made = {}
    for who in (BUILDER, RELEASER, STRANGER):
        made[who] = folder / who
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(made[who])],
            check=True,
        )
    return made


def public(key: Path) -> str:
    return key.with_name(f"{key.name}.pub").read_text().strip()


class Signed(Clone):
    """A clone that signs with SSH keys."""

    def __init__(self, clone: Clone, keys: dict[str, Path]) -> None:
        super().__init__(clone.root, REQUIRED)
        self.keys = keys
        self.run("config", "gpg.format", "ssh")
        self.allow(*(f"{who} {public(keys[who])}" for who in ROLES))

    def allow(self, *lines: str) -> None:
        (self.root / "conf").mkdir(exist_ok=True)
        (self.root / "conf" / "allowed_signers").write_text("# who\n\n" + "\n".join(lines) + "\n")

    def sign_as(self, who: str, policy: RegistryPolicy = REQUIRED) -> Signed:
        """The same clone with another key, and the policy of whoever holds it."""
        self.run("config", "user.signingKey", str(self.keys[who]))
        self.policy = policy
        return self

    def check(self, policy: RegistryPolicy = REQUIRED) -> dict[str, set[str]]:
        return kinds(signatures.check(self.git, self.root, policy, reading.read_events(self.git)))

    def objects(self) -> str:
        return self.run("count-objects", "--verbose")


@pytest.fixture
def signed(empty: Clone, keys: dict[str, Path]) -> Signed:
    """One version, registered by the builder and staged by the releaser."""
    clone = Signed(empty, keys)
    clone.sign_as(BUILDER).register(V1)
    clone.sign_as(RELEASER).add(move(V1, "staging"))
    return clone


@needs_ssh
class TestSsh:
    def test_tags_signed_by_who_may_have_no_finding(self, signed: Signed) -> None:
        assert (signed.check(), signed.audit()) == ({}, [])
        who = [
            signatures.principal(signed.git, signed.root, REQUIRED, event.object)
            for event in signed.chain()
        ]
        assert who == [BUILDER, RELEASER]

    def test_an_unsigned_tag_is_named(self, signed: Signed) -> None:
        signed.policy = OFF
        event = signed.add(move(V1, "production"))[0]
        assert signed.check() == {event.tag: {"unsigned"}}
        assert signed.audit() == []

    def test_a_tag_signed_by_a_key_that_nobody_allowed_is_named(self, signed: Signed) -> None:
        signed.run("config", "user.signingKey", str(signed.keys[STRANGER]))
        signed.run("tag", "--sign", "--message=by hand", "recognition-facenet@v9.0.0")
        assert signed.check() == {"recognition-facenet@v9.0.0": {"unsigned"}}

    def test_a_tag_signed_by_who_may_only_register_is_named(self, signed: Signed) -> None:
        everyone = RegistryPolicy(remote="", signatures="required")
        event = signed.sign_as(BUILDER, everyone).add(move(V1, "production"))[0]
        findings = signatures.check(signed.git, signed.root, REQUIRED, [event])
        assert kinds(findings) == {event.tag: {"role"}}
        assert findings[0].text == f"{BUILDER} signed it and may not promote"
        assert signed.check(everyone) == {}

    def test_a_promotion_that_calls_itself_a_registration_is_named(self, signed: Signed) -> None:
        signed.sign_as(BUILDER)
        event = signed.events()[STAGED]
        message = event.message.split("-----BEGIN")[0].replace('"promote"', '"register"')
        signed.run(
            "tag", "--force", "--sign", "--cleanup=verbatim", "--file=-", STAGED, event.commit,
            stdin=message, GIT_COMMITTER_DATE=f"@{event.time} +0000",
        )  # fmt: skip
        assert signed.events()[STAGED].act == "register"
        assert signed.check() == {STAGED: {"role"}}

    def test_a_signature_of_another_tag_is_named(self, signed: Signed) -> None:
        events = signed.events()
        mark = "-----BEGIN"
        message = (
            events[STAGED].message.split(mark)[0] + mark + events[FIRST].message.split(mark)[1]
        )
        signed.tag(STAGED, events[STAGED].commit, message, seconds=events[STAGED].time)
        assert signed.events()[STAGED].record is not None
        assert signed.check() == {STAGED: {"unsigned"}}

    @pytest.mark.parametrize("change", ["message", "commit", "date", "tagger", "name"])
    def test_a_tag_edited_after_it_was_signed_is_named(self, signed: Signed, change: str) -> None:
        event = signed.events()[STAGED]
        tag = "recognition-facenet#staging#7" if change == "name" else STAGED
        commit = signed.commit() if change == "commit" else event.commit
        text = event.message.replace("as planned", "as forged") if change == "message" else ""
        seconds = event.time + (change == "date")
        who = "Mallory" if change == "tagger" else "Test"
        signed.tag(tag, commit, text or event.message, seconds=seconds, who=who)
        assert signed.check() == {tag: {"unsigned"}}

    def test_words_that_look_like_a_signature_are_none(self, signed: Signed) -> None:
        tag = "landmark-dlib@v1.0.0"
        for words in ("SSH SIGNATURE", "PGP SIGNATURE", "NOTHING"):
            text = f"x\n-----BEGIN {words}-----\nU1NIU0lH\n-----END {words}-----\n"
            signed.tag(tag, signed.commit(), text)
            assert signed.check() == {tag: {"unsigned"}}

    def test_a_tag_that_speaks_as_gpg_does_is_not_believed(self, signed: Signed) -> None:
        forged = f"[GNUPG:] VALIDSIG {'A' * 40} 2026 0 0 4 0 22 8 00 {'A' * 40}\n"
        tag = "landmark-dlib@v1.0.0"
        signed.sign_as(BUILDER)
        signed.run("tag", "--sign", f"--message={forged}", tag)
        everything = {**ROLES, "A" * 40: ROLES[RELEASER]}
        event = signed.events()[tag]
        assert signatures.principal(signed.git, signed.root, REQUIRED, event.object) == BUILDER
        assert signed.check(RegistryPolicy(signatures="required", roles=everything)) == {}

    @pytest.mark.parametrize(
        ("until", "found"), [("20251231", {FIRST: {"unsigned"}}), ("20270101", {})]
    )
    def test_a_signature_after_its_keys_last_day_is_named(
        self, signed: Signed, until: str, found: dict[str, set[str]]
    ) -> None:
        keys = {who: public(signed.keys[who]) for who in ROLES}
        signed.allow(
            f'{BUILDER} valid-before="{until}" {keys[BUILDER]}', f"{RELEASER} {keys[RELEASER]}"
        )
        assert signed.check() == found

    def test_a_key_after_its_last_day_is_refused_before_a_tag_is_made(self, signed: Signed) -> None:
        signed.allow(f'{RELEASER} valid-before="20251231" {public(signed.keys[RELEASER])}')
        with pytest.raises(FacemodelsError):
            signed.add(move(V1, "production"))

    def test_who_lacks_the_role_is_refused_before_anything_is_made(self, signed: Signed) -> None:
        signed.sign_as(BUILDER)
        before = signed.objects()
        with pytest.raises(RuleError, match=f"{BUILDER} may not promote") as refused:
            signed.add(move(V1, "production"))
        assert RELEASER in refused.value.remedy
        assert signed.objects() == before
        assert len(signed.events()) == 2

    def test_a_key_that_nobody_allowed_is_refused_before_anything_is_made(
        self, signed: Signed
    ) -> None:
        before = signed.objects()
        with pytest.raises(InputError, match="is not in conf/allowed_signers"):
            signed.sign_as(STRANGER).add(move(V1, "production"))
        assert signed.objects() == before

    def test_without_a_key_or_with_one_that_is_gone_nothing_is_made(self, signed: Signed) -> None:
        before = signed.objects()
        signed.run("config", "user.signingKey", "/nowhere/key")
        with pytest.raises(InputError, match="cannot be read"):
            signed.add(move(V1, "production"))
        signed.run("config", "--unset", "user.signingKey")
        with pytest.raises(InputError, match="git knows no key of yours"):
            signed.add(move(V1, "production"))
        assert signed.objects() == before

    def test_without_the_file_of_signers_nobody_is_allowed(self, signed: Signed) -> None:
        (signed.root / "conf" / "allowed_signers").unlink()
        assert signed.check() == {FIRST: {"unsigned"}, STAGED: {"unsigned"}}
        with pytest.raises(InputError):
            signed.add(move(V1, "production"))

    def test_a_key_may_be_given_as_text_as_a_public_file_or_below_home(
        self, signed: Signed
    ) -> None:
        key = signed.keys[BUILDER]
        shutil.copy(f"{key}.pub", Path(os.environ["HOME"], "id.pub"))
        for spelling in (public(key), f"key::{public(key)}", f"{key}.pub", "~/id", "~/id.pub"):
            signed.run("config", "user.signingKey", spelling)
            assert signatures.own_principal(signed.git, signed.root, REQUIRED) == BUILDER

    def test_of_several_principals_of_a_key_the_first_signs(self, signed: Signed) -> None:
        signed.allow(
            f'{RELEASER},else@example.org namespaces="git" {public(signed.keys[RELEASER])}'
        )
        event = signed.add(move(V1, "production"))[0]
        assert kinds(signatures.check(signed.git, signed.root, REQUIRED, [event])) == {}

    def test_where_signatures_are_off_no_key_is_asked_for_even_if_git_would_sign(
        self, signed: Signed
    ) -> None:
        signed.run("config", "tag.gpgSign", "true")
        signed.run("config", "--unset", "user.signingKey")
        signed.policy = OFF
        assert "-----BEGIN" not in signed.add(move(V1, "production"))[0].message


def gpg(*arguments: str) -> str:
    done = subprocess.run(
        ["gpg", "--batch", "--quiet", "--passphrase", "", "--with-colons", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def generate(name: str, usage: str) -> str:
    """A new key without a passphrase; its fingerprint."""
    gpg("--quick-generate-key", f"{name} <{name}@example.org>", "ed25519", usage, "never")
    lines = gpg("--list-secret-keys", name).splitlines()
    return next(line.split(":")[9] for line in lines if line.startswith("fpr:"))


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A GPG home of its own; its path is short, since its agent's socket lies in it."""
    home = Path(tempfile.mkdtemp(prefix="g", dir="/tmp"))
    monkeypatch.setenv("GNUPGHOME", str(home))
    try:
        yield home
    finally:
        subprocess.run(
            ["gpgconf", "--kill", "all"], check=True, env={**os.environ, "GNUPGHOME": str(home)}
        )
        shutil.rmtree(home, ignore_errors=True)


@needs_gpg
class TestGpg:
    def test_a_key_is_known_by_its_fingerprint_and_held_to_its_role(
        self, empty: Clone, keyring: Path
    ) -> None:
        fingerprint = generate("builder", "sign")
        policy = RegistryPolicy(
            remote="", signatures="required", roles={fingerprint: ("register",)}
        )
        clone = Clone(empty.root, policy)
        clone.run("config", "user.signingKey", "builder@example.org")
        event = clone.register(V1)
        assert signatures.principal(clone.git, clone.root, policy, event.object) == fingerprint
        assert signatures.check(clone.git, clone.root, policy, [event]) == []
        with pytest.raises(RuleError, match=f"{fingerprint} may not promote"):
            clone.add(move(V1, "staging"))
        others = RegistryPolicy(signatures="required", roles={"0" * 40: ("register",)})
        assert kinds(signatures.check(clone.git, clone.root, others, [event])) == {FIRST: {"role"}}
        clone.tag(FIRST, event.commit, event.message.replace("release", "forged"), seconds=NOW)
        found = signatures.check(clone.git, clone.root, policy, clone.events().values())
        assert kinds(found) == {FIRST: {"unsigned"}}

    def test_a_subkey_signs_for_its_primary_key(self, empty: Clone, keyring: Path) -> None:
        fingerprint = generate("releaser", "cert")
        gpg("--quick-add-key", fingerprint, "ed25519", "sign", "never")
        policy = RegistryPolicy(
            remote="", signatures="required", roles={fingerprint: ("register",)}
        )
        clone = Clone(empty.root, policy)
        clone.run("config", "user.signingKey", fingerprint)
        event = clone.register(V1)
        assert signatures.check(clone.git, clone.root, policy, [event]) == []

    def test_a_key_that_is_not_in_the_keyring_is_nobodys(self, empty: Clone, keyring: Path) -> None:
        fingerprint = generate("stranger", "sign")
        policy = RegistryPolicy(remote="", signatures="required")
        clone = Clone(empty.root, policy)
        clone.run("config", "user.signingKey", fingerprint)
        event = clone.register(V1)
        gpg("--yes", "--delete-secret-and-public-key", fingerprint)
        found = signatures.check(clone.git, clone.root, policy, [event])
        assert kinds(found) == {FIRST: {"unsigned"}}
        with pytest.raises(InputError, match="no secret key"):
            clone.add(move(V1, "staging"))
        assert len(clone.events()) == 1


def test_a_gpg_that_is_not_installed_is_named(empty: Clone) -> None:
    clone = Clone(empty.root, RegistryPolicy(remote="", signatures="required"))
    clone.run("config", "user.signingKey", "A" * 40)
    clone.run("config", "gpg.program", "/nowhere/gpg")
    with pytest.raises(ToolError, match="/nowhere/gpg"):
        clone.register(V1)
