from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facemodels.cli.main import main
from facemodels.errors import InputError, IntegrityError, ParamsError, ToolError
from facemodels.files import list_files, sha256_tree, write_yaml
from facemodels.package.load import open_package
from facemodels.package.signature import (
    SignaturePolicy,
    read_policy,
    signature_path,
)
from facemodels.package.signing import CertificateSigner, KeySigner, SigstoreSigner, sign
from facemodels.package.verify import verify, write_checksums
from tests.bounded import examples

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests/golden/dlib-v1.0.0"
MODEL_SIGNING = Path(sys.executable).with_name("model_signing")
FEW = settings(
    max_examples=examples(80),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def verify_signature(folder: Path, policy: SignaturePolicy) -> str:
    """Verify the checksums of a package, then its signature, as `open_package` does."""
    return policy.check(folder, verify(folder))


def write_private(path: Path, key: Any, password: str | None = None) -> Path:
    lock = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    path.write_bytes(pem)
    return path


def write_public(path: Path, key: Any) -> Path:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, kind))
    return path


@dataclass(frozen=True)
class Pair:
    """A key on disk."""

    private: Path
    public: Path


def make_pair(folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> Pair:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    return Pair(
        write_private(folder / f"{name}.pem", key), write_public(folder / f"{name}.pub", key)
    )


class Authority:
    """A certificate authority with one authority below it, which signs the leaves."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.middle_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._certificate("root", self.root_key, None, ca=True)
        self.middle = self._certificate("middle", self.middle_key, self.root_key, ca=True)

    def leaf(self, *, first: datetime = NOW - DAY, last: datetime = NOW + DAY, usage: bool = True,
             key: Any = None) -> CertificateSigner:  # fmt: skip
        key = key or ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(
            "leaf", key, self.middle_key, first=first, last=last, usage=usage, issuer="middle"
        )
        private = write_private(self.folder / f"{self.name}-leaf.key", key)
        return CertificateSigner(private, certificate, (self.middle,))

    def _certificate(
        self,
        name: str,
        key: Any,
        above: Any,
        *,
        ca: bool = False,
        first: datetime = NOW - 300 * DAY,
        last: datetime = NOW + 300 * DAY,
        usage: bool = True,
        issuer: str = "root",
    ) -> Path:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{self.name} {text}")])

        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first)
            .not_valid_after(last)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if usage:
            signs = {"digital_signature": not ca, "key_cert_sign": ca, "crl_sign": ca}
            others = dict.fromkeys(
                ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                 "encipher_only", "decipher_only"), False,
            )  # fmt: skip
            builder = builder.add_extension(x509.KeyUsage(**signs, **others), critical=True)
        made = builder.sign(above or key, hashes.SHA256())
        path = self.folder / f"{self.name}-{name}.crt"
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "models" / GOLDEN.name))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path, "release")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "Ours")


def by_key(pair: Pair) -> SignaturePolicy:
    return SignaturePolicy(required=True, method="key", public_key=pair.public)


def by_authority(authority: Authority) -> SignaturePolicy:
    return SignaturePolicy(required=True, method="certificate", certificates=(authority.root,))


def by_identity() -> SignaturePolicy:
    return SignaturePolicy(
        required=True, method="sigstore", identity="a@example.org",
        identity_provider="https://accounts.example.org",
    )  # fmt: skip


def sign_with_the_library(package: Path, signer: Any, ignored: tuple[str, ...] = ()) -> None:
    """As someone would who does not use our door."""
    from model_signing import hashing, signing

    config = signing.Config()
    if isinstance(signer, CertificateSigner):
        config.use_certificate_signer(
            private_key=signer.private_key,
            signing_certificate=signer.certificate,
            certificate_chain=signer.chain,
        )
    else:
        config.use_elliptic_key_signer(private_key=signer.private_key)
    config.set_hashing_config(hashing.Config().set_ignored_paths(paths=ignored))
    config.sign(package, signature_path(package))


# Round trips


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_a_package_signed_with_a_key_is_verified_with_its_public_key(
    package: Path, tmp_path: Path, curve: ec.EllipticCurve
) -> None:
    pair = make_pair(tmp_path, "curve", curve)
    assert sign(package, KeySigner(pair.private)) == package.parent / "dlib-v1.0.0.sig"
    assert verify_signature(package, by_key(pair)).startswith("key sha256:")
    opened = open_package(package, signature=by_key(pair))
    assert opened.signed_by == verify_signature(package, by_key(pair))


def test_a_package_signed_with_a_certificate_is_verified_with_its_authority(
    package: Path, authority: Authority
) -> None:
    sign(package, authority.leaf())
    assert verify_signature(package, by_authority(authority)) == "certificate CN=Ours leaf"


def test_signing_leaves_the_package_as_it_was(package: Path, pair: Pair) -> None:
    before = sha256_tree(package)
    sign(package, KeySigner(pair.private))
    assert sha256_tree(package) == before == sha256_tree(GOLDEN)
    assert list_files(package.parent) == sorted(
        ["dlib-v1.0.0.sig", *(f"dlib-v1.0.0/{name}" for name in list_files(GOLDEN))]
    )


def test_the_statement_names_every_file_with_its_digest(package: Path, pair: Pair) -> None:
    bundle = json.loads(sign(package, KeySigner(pair.private)).read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"][0]["name"] == "dlib-v1.0.0"
    assert sorted(r["name"] for r in statement["predicate"]["resources"]) == list_files(package)


def test_the_package_in_the_working_directory_is_signed_beside_itself(
    package: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(package)
    assert sign(Path(), KeySigner(pair.private)).resolve() == package.with_name("dlib-v1.0.0.sig")
    assert verify_signature(Path(), by_key(pair))


def test_signing_again_with_another_key_replaces_the_signature(
    package: Path, pair: Pair, tmp_path: Path
) -> None:
    sign(package, KeySigner(make_pair(tmp_path, "old").private))
    sign(package, KeySigner(pair.private))
    assert verify_signature(package, by_key(pair))


def test_an_encrypted_key_signs_with_its_password_only(
    package: Path, pair: Pair, tmp_path: Path
) -> None:
    key = serialization.load_pem_private_key(pair.private.read_bytes(), None)
    locked = write_private(tmp_path / "locked.pem", key, "a word")
    for password in (None, "another word"):
        with pytest.raises(InputError, match=r"locked\.pem cannot be used: .*assword"):
            sign(package, KeySigner(locked, password))
    sign(package, KeySigner(locked, "a word"))
    assert verify_signature(package, by_key(pair))
    assert "a word" not in repr(KeySigner(locked, "a word"))


def test_files_that_dvc_links_are_signed_and_verified_by_content(
    package: Path, pair: Pair, tmp_path: Path
) -> None:
    sign(package, KeySigner(pair.private))
    cached = tmp_path / "cache/files/md5/ab" / ("c" * 30)
    cached.parent.mkdir(parents=True)
    (package / "model.dat").rename(cached)
    (package / "model.dat").symlink_to(cached)
    assert verify_signature(package, by_key(pair))
    sign(package, KeySigner(pair.private))
    (package / "model.dat").unlink()
    cached.rename(package / "model.dat")
    assert verify_signature(package, by_key(pair))


def test_the_plain_model_signing_command_verifies_our_signatures(
    package: Path, pair: Pair, authority: Authority
) -> None:
    def verified(*options: str | Path) -> str:
        command = [MODEL_SIGNING, "verify", *options, "--signature", signature_path(package)]
        done = subprocess.run(
            [*command, package], capture_output=True, text=True, check=False, timeout=100
        )
        return done.stdout

    sign(package, KeySigner(pair.private))
    assert "succeeded" in verified("key", "--public_key", pair.public)
    sign(package, authority.leaf())
    assert "succeeded" in verified("certificate", "--certificate_chain", authority.root)


def test_signatures_of_the_plain_model_signing_command_are_verified(
    package: Path, pair: Pair
) -> None:
    command = [MODEL_SIGNING, "sign", "key", "--private_key", pair.private, "--signature"]
    subprocess.run([*command, signature_path(package), package], check=True, timeout=100)
    assert verify_signature(package, by_key(pair))


# Attacks on the files


def test_a_package_that_is_not_whole_is_never_signed(package: Path, pair: Pair) -> None:
    (package / "model.dat").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"changed: model\.dat"):
        sign(package, KeySigner(pair.private))
    assert not signature_path(package).exists()


@FEW
@given(data=st.data())
def test_a_flipped_byte_in_any_file_is_refused_even_with_checksums_made_anew(
    package: Path, pair: Pair, data: st.DataObject
) -> None:
    if not signature_path(package).exists():
        sign(package, KeySigner(pair.private))
    path = package / data.draw(st.sampled_from(list_files(package)))
    whole, checksums = path.read_bytes(), (package / "checksums.sha256").read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytes([whole[place] ^ data.draw(st.integers(1, 255))])
    path.write_bytes(whole[:place] + flipped + whole[place + 1 :])
    if path.name != "checksums.sha256" and data.draw(st.booleans()):
        write_checksums(package)
    try:
        with pytest.raises(IntegrityError):
            open_package(package, signature=by_key(pair))
    finally:
        path.write_bytes(whole)
        (package / "checksums.sha256").write_bytes(checksums)


def test_an_added_file_is_named_even_with_checksums_made_anew(package: Path, pair: Pair) -> None:
    sign(package, KeySigner(pair.private))
    (package / "model.onnx").write_bytes(b"onnx")
    write_checksums(package)
    with pytest.raises(IntegrityError, match=r"extra: model\.onnx; changed: checksums\.sha256"):
        open_package(package, signature=by_key(pair))


def test_a_removed_file_is_named_even_with_checksums_made_anew(package: Path, pair: Pair) -> None:
    sign(package, KeySigner(pair.private))
    (package / "model.dat").unlink()
    write_checksums(package)
    with pytest.raises(IntegrityError, match=r"missing: model\.dat; changed: checksums\.sha256"):
        open_package(package, signature=by_key(pair))


def test_a_renamed_file_is_named_even_with_checksums_made_anew(package: Path, pair: Pair) -> None:
    sign(package, KeySigner(pair.private))
    (package / "model.dat").rename(package / "model.pt")
    write_checksums(package)
    with pytest.raises(IntegrityError, match=r"extra: model\.pt; missing: model\.dat"):
        open_package(package, signature=by_key(pair))


def test_two_files_with_swapped_contents_are_refused(package: Path, pair: Pair) -> None:
    sign(package, KeySigner(pair.private))
    one, other = package / "README.md", package / "requirements.txt"
    text = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(text)
    write_checksums(package)
    with pytest.raises(IntegrityError, match=r"README\.md.*requirements\.txt"):
        open_package(package, signature=by_key(pair))


def test_the_signature_of_another_package_is_refused(
    package: Path, pair: Pair, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(package, tmp_path / "models" / "dlib-v1.0.1"))
    (other / "README.md").write_text("Another version.")
    write_checksums(other)
    sign(other, KeySigner(pair.private))
    shutil.copy(signature_path(other), signature_path(package))
    with pytest.raises(IntegrityError, match="signature of other files"):
        open_package(package, signature=by_key(pair))


def test_a_link_out_of_the_package_is_refused_before_the_signature_is_read(
    package: Path, pair: Pair, tmp_path: Path
) -> None:
    sign(package, KeySigner(pair.private))
    (package / "sub").symlink_to(tmp_path)
    with pytest.raises(IntegrityError, match=r"holds links \(extra: sub\)"):
        verify_signature(package, by_key(pair))


def test_a_signature_by_the_right_key_that_leaves_a_file_out_is_refused(
    package: Path, pair: Pair
) -> None:
    sign_with_the_library(package, KeySigner(pair.private), ignored=("model.dat",))
    with pytest.raises(IntegrityError, match=r"extra: model\.dat"):
        open_package(package, signature=by_key(pair))


def test_a_second_envelope_in_another_spelling_hides_nothing(package: Path, pair: Pair) -> None:
    sign_with_the_library(package, KeySigner(pair.private), ignored=("model.dat",))
    path = signature_path(package)
    partial = json.loads(path.read_text())["dsseEnvelope"]
    sign(package, KeySigner(pair.private))
    path.write_text(json.dumps({**json.loads(path.read_text()), "dsse_envelope": partial}))
    with pytest.raises(IntegrityError, match="not signed by whom the policy names"):
        open_package(package, signature=by_key(pair))


# Attacks on the signer


def test_a_signature_by_another_key_is_refused(package: Path, pair: Pair, tmp_path: Path) -> None:
    sign(package, KeySigner(make_pair(tmp_path, "thief").private))
    with pytest.raises(IntegrityError, match="not signed by whom the policy names: Key mismatch"):
        open_package(package, signature=by_key(pair))


def test_a_signature_by_another_key_that_claims_to_be_ours_is_refused(
    package: Path, pair: Pair, tmp_path: Path
) -> None:
    path = sign(package, KeySigner(pair.private))
    material = json.loads(path.read_text())["verificationMaterial"]
    sign(package, KeySigner(make_pair(tmp_path, "thief").private))
    path.write_text(json.dumps({**json.loads(path.read_text()), "verificationMaterial": material}))
    with pytest.raises(IntegrityError, match="does not fit the key"):
        open_package(package, signature=by_key(pair))


def test_a_certificate_of_a_foreign_authority_is_refused(
    package: Path, authority: Authority, tmp_path: Path
) -> None:
    sign(package, Authority(tmp_path, "Theirs").leaf())
    with pytest.raises(IntegrityError, match="not signed by whom the policy names"):
        open_package(package, signature=by_authority(authority))


def test_an_authority_of_the_same_name_with_another_key_is_refused(
    package: Path, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    sign(package, Authority(tmp_path / "other", "Ours").leaf())
    with pytest.raises(IntegrityError, match="not signed by whom the policy names"):
        open_package(package, signature=by_authority(authority))


def test_a_signer_cannot_bring_their_own_root_along(
    package: Path, authority: Authority, tmp_path: Path
) -> None:
    theirs = Authority(tmp_path, "Theirs")
    leaf = theirs.leaf()
    sign(
        package, CertificateSigner(leaf.private_key, leaf.certificate, (theirs.middle, theirs.root))
    )
    with pytest.raises(IntegrityError, match="not signed by whom the policy names"):
        open_package(package, signature=by_authority(authority))


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [(NOW - 2 * DAY, NOW - DAY, "expired"), (NOW + DAY, NOW + 2 * DAY, "not yet valid")],
)
def test_a_certificate_that_is_not_valid_today_neither_signs_nor_is_accepted(
    package: Path, authority: Authority, first: datetime, last: datetime, words: str
) -> None:
    leaf = authority.leaf(first=first, last=last)
    with pytest.raises(InputError, match="is valid from"):
        sign(package, leaf)
    sign_with_the_library(package, leaf)
    with pytest.raises(IntegrityError, match=words):
        open_package(package, signature=by_authority(authority))


def test_a_certificate_that_is_not_for_signing_is_refused(
    package: Path, authority: Authority
) -> None:
    sign(package, authority.leaf(usage=False))
    with pytest.raises(IntegrityError, match="cannot be used for signing"):
        open_package(package, signature=by_authority(authority))


def test_a_chain_without_its_middle_is_refused(package: Path, authority: Authority) -> None:
    leaf = authority.leaf()
    sign(package, CertificateSigner(leaf.private_key, leaf.certificate))
    with pytest.raises(IntegrityError, match="unable to get"):
        open_package(package, signature=by_authority(authority))
    both = (authority.root, authority.middle)
    policy = SignaturePolicy(required=True, method="certificate", certificates=both)
    assert open_package(package, signature=policy).signed_by == "certificate CN=Ours leaf"


@pytest.mark.parametrize("asked", ["key", "certificate", "sigstore"])
def test_a_signature_of_another_method_than_the_policys_is_refused(
    package: Path, pair: Pair, authority: Authority, asked: str
) -> None:
    policies = {
        "key": by_key(pair), "certificate": by_authority(authority), "sigstore": by_identity(),
    }  # fmt: skip
    sign(package, authority.leaf() if asked == "key" else KeySigner(pair.private))
    with pytest.raises(IntegrityError, match=f"the policy asks for {asked}"):
        open_package(package, signature=policies[asked])


# Attacks on the .sig file


def test_a_missing_signature_is_refused_where_the_policy_requires_one(
    package: Path, pair: Pair
) -> None:
    with pytest.raises(IntegrityError, match=r"dlib-v1\.0\.0\.sig is missing"):
        open_package(package, signature=by_key(pair))


def test_a_missing_signature_is_no_matter_where_none_is_required(package: Path) -> None:
    assert open_package(package).signed_by == ""
    assert open_package(package, signature=SignaturePolicy(required=False)).signed_by == ""


def test_a_policy_without_a_method_verifies_nothing(package: Path, pair: Pair) -> None:
    sign(package, KeySigner(pair.private))
    with pytest.raises(InputError, match="names no method"):
        verify_signature(package, SignaturePolicy(required=False))


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"[" * 100_000, b" " * (1 << 21),
     b"-----BEGIN SIGNATURE-----"],
    ids=lambda content: repr(content[:12]),
)  # fmt: skip
def test_garbage_is_not_a_signature(package: Path, pair: Pair, content: bytes) -> None:
    signature_path(package).write_bytes(content)
    with pytest.raises(IntegrityError, match=r"dlib-v1\.0\.0\.sig is"):
        open_package(package, signature=by_key(pair))


def test_a_folder_in_the_place_of_the_signature_is_refused(package: Path, pair: Pair) -> None:
    signature_path(package).mkdir()
    with pytest.raises(IntegrityError, match="is missing"):
        open_package(package, signature=by_key(pair))


def test_a_signature_without_the_mark_of_its_key_is_refused(package: Path, pair: Pair) -> None:
    path = sign(package, KeySigner(pair.private))
    bundle = json.loads(path.read_text())
    bundle["verificationMaterial"]["publicKey"]["hint"] = ""
    path.write_text(json.dumps(bundle))
    with pytest.raises(IntegrityError, match="does not say which key"):
        open_package(package, signature=by_key(pair))


@pytest.fixture(params=["key", "certificate"])
def signed(
    request: pytest.FixtureRequest, package: Path, pair: Pair, authority: Authority
) -> tuple[Path, SignaturePolicy]:
    """A signed package, and the policy that accepts it."""
    if request.param == "key":
        sign(package, KeySigner(pair.private))
        return package, by_key(pair)
    sign(package, authority.leaf())
    return package, by_authority(authority)


def accepts(package: Path, policy: SignaturePolicy, content: bytes) -> bool:
    """Whether a .sig with that content is accepted; any error but ours comes through."""
    path = signature_path(package)
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        verify_signature(package, policy)
    except IntegrityError:
        return False
    finally:
        path.write_bytes(whole)
    return True


@FEW
@given(data=st.data())
def test_a_truncated_signature_is_refused(signed, data: st.DataObject) -> None:
    package, policy = signed
    whole = signature_path(package).read_bytes()
    assert not accepts(package, policy, whole[: data.draw(st.integers(0, len(whole) - 1))])


@FEW
@given(data=st.data())
def test_changed_bytes_of_a_signature_raise_nothing_but_our_error(
    signed, data: st.DataObject
) -> None:
    """Bytes that carry nothing, such as a space, may change; what is signed cannot."""
    package, policy = signed
    content = bytearray(signature_path(package).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    before = json.loads(signature_path(package).read_bytes())
    if accepts(package, policy, bytes(content)):
        assert json.loads(content)["dsseEnvelope"]["payload"] == before["dsseEnvelope"]["payload"]


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Where a JSON value has parts."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [found for key, part in inner for found in [(*path, key), *places(part, (*path, key))]]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=8), part, max_size=3)
    ),
    max_leaves=5,
)


@FEW
@given(data=st.data())
def test_a_signature_with_any_part_replaced_or_removed_raises_nothing_but_our_error(
    signed, data: st.DataObject
) -> None:
    package, policy = signed
    bundle = json.loads(signature_path(package).read_bytes())
    *above, last = data.draw(st.sampled_from(places(bundle)))
    part = bundle
    for key in above:
        part = part[key]
    if data.draw(st.booleans()):
        part[last] = data.draw(JSON)
    else:
        del part[last]
    accepts(package, policy, json.dumps(bundle).encode())


@FEW
@given(data=st.data())
def test_a_certificate_with_any_changed_byte_raises_nothing_but_our_error(
    package: Path, authority: Authority, data: st.DataObject
) -> None:
    path = signature_path(package)
    if not path.exists():
        sign(package, authority.leaf())
    bundle = json.loads(path.read_bytes())
    chain = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
    number = data.draw(st.integers(0, len(chain) - 1))
    der = bytearray(base64.b64decode(chain[number]["rawBytes"]))
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    chain[number]["rawBytes"] = base64.b64encode(der).decode()
    assert not accepts(package, by_authority(authority), json.dumps(bundle).encode())


@FEW
@given(data=st.data())
def test_a_statement_with_any_changed_byte_is_refused(
    package: Path, pair: Pair, data: st.DataObject
) -> None:
    path = signature_path(package)
    if not path.exists():
        sign(package, KeySigner(pair.private))
    bundle = json.loads(path.read_bytes())
    payload = bytearray(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    assert not accepts(package, by_key(pair), json.dumps(bundle).encode())


# The order on loading


def test_checksums_then_the_signature_then_parsing(package: Path, pair: Pair) -> None:
    sign(package, KeySigner(pair.private))
    (package / "metadata.json").write_text("{ not JSON")
    with pytest.raises(IntegrityError, match="not the package that was signed off"):
        open_package(package, signature=by_key(pair))
    write_checksums(package)
    with pytest.raises(IntegrityError, match="signature of other files"):
        open_package(package, signature=by_key(pair))
    signature_path(package).unlink()
    with pytest.raises(IntegrityError, match=r"\.sig is missing"):
        open_package(package, signature=by_key(pair))
    with pytest.raises(json.JSONDecodeError):  # without a policy it is parsed
        open_package(package)


def test_a_load_without_a_policy_imports_nothing_of_model_signing() -> None:
    script = (
        "import sys; from pathlib import Path; from facemodels.package.load import open_package\n"
        "import facemodels.package.signature; open_package(Path(sys.argv[1]))\n"
        "print([name for name in ('model_signing', 'sigstore', 'OpenSSL') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, GOLDEN], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# Keys and certificates that cannot be used


@pytest.mark.parametrize(
    "kind", ["absent", "folder", "public", "rsa", "ed25519", "garbage", "curve"]
)
def test_a_key_that_cannot_sign_is_an_input_error(
    package: Path, pair: Pair, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "key.pem"
    keys = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "curve": lambda: ec.generate_private_key(ec.SECP256K1()),
    }
    if kind in keys:
        write_private(path, keys[kind]())
    elif kind == "public":
        path = pair.public
    elif kind == "folder":
        path.mkdir()
    elif kind == "garbage":
        path.write_bytes(b"\x00" * 99)
    with pytest.raises(InputError, match=rf"{path.name} cannot be used"):
        sign(package, KeySigner(path))
    assert not signature_path(package).exists()


@pytest.mark.parametrize("kind", ["absent", "private", "rsa", "garbage"])
def test_a_public_key_that_cannot_verify_is_an_input_error(
    package: Path, pair: Pair, tmp_path: Path, kind: str
) -> None:
    sign(package, KeySigner(pair.private))
    path = pair.private if kind == "private" else tmp_path / "key.pub"
    if kind == "rsa":
        write_public(path, rsa.generate_private_key(65537, 2048))
    elif kind == "garbage":
        path.write_bytes(b"not a key")
    policy = SignaturePolicy(required=True, method="key", public_key=path)
    with pytest.raises(InputError, match=rf"{path.name} cannot be used"):
        open_package(package, signature=policy)


def test_a_certificate_of_another_key_or_with_a_locked_key_does_not_sign(
    package: Path, pair: Pair, authority: Authority, tmp_path: Path
) -> None:
    leaf = authority.leaf()
    with pytest.raises(InputError, match="does not match"):
        sign(package, CertificateSigner(pair.private, leaf.certificate))
    key = serialization.load_pem_private_key(leaf.private_key.read_bytes(), None)
    locked = write_private(tmp_path / "locked.pem", key, "a word")
    with pytest.raises(InputError, match="encrypted"):
        sign(package, CertificateSigner(locked, leaf.certificate))
    with pytest.raises(InputError, match=r"release\.pub"):
        sign(package, CertificateSigner(leaf.private_key, pair.public))


def test_a_certificate_with_an_rsa_key_neither_signs_nor_is_accepted(
    package: Path, authority: Authority
) -> None:
    path = sign(package, authority.leaf())
    foreign = authority.leaf(key=rsa.generate_private_key(65537, 2048))
    with pytest.raises(InputError, match="no EC key"):
        sign(package, foreign)
    bundle = json.loads(path.read_text())
    der = x509.load_pem_x509_certificate(foreign.certificate.read_bytes()).public_bytes(
        serialization.Encoding.DER
    )
    chain = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
    chain[0]["rawBytes"] = base64.b64encode(der).decode()
    path.write_text(json.dumps(bundle))
    with pytest.raises(IntegrityError, match="not signed by whom the policy names"):
        open_package(package, signature=by_authority(authority))


def test_an_authority_that_cannot_be_read_is_an_input_error(
    package: Path, pair: Pair, authority: Authority
) -> None:
    sign(package, authority.leaf())
    policy = SignaturePolicy(required=True, method="certificate", certificates=(pair.public,))
    with pytest.raises(InputError, match=r"release\.pub cannot be used"):
        open_package(package, signature=policy)


# Sigstore, as far as it goes without the network


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **options: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)


@pytest.mark.parametrize("staging", [False, True])
def test_keyless_signing_without_a_network_says_so_and_leaves_nothing(
    package: Path, offline: None, staging: bool
) -> None:
    with pytest.raises(ToolError, match=r"Sigstore cannot be used: .* It needs the network"):
        sign(package, SigstoreSigner(staging=staging))
    assert list_files(package.parent) == [f"dlib-v1.0.0/{name}" for name in list_files(GOLDEN)]


def test_keyless_verification_without_a_network_refuses_to_load_and_says_why(
    package: Path, pair: Pair, offline: None
) -> None:
    path = sign(package, KeySigner(pair.private))
    bundle = json.loads(path.read_text())
    bundle["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}
    path.write_text(json.dumps(bundle))
    with pytest.raises(ToolError, match="Sigstore cannot be used"):
        open_package(package, signature=by_identity())


# The policy file


def test_the_policy_of_this_repository_requires_nothing_yet() -> None:
    assert read_policy(ROOT / "conf/signing.yaml") == SignaturePolicy(required=False)


def test_paths_of_a_policy_count_from_the_folder_above_conf(
    package: Path, pair: Pair, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "conf" / "signing.yaml"
    write_yaml(file, {"required": True, "method": "key", "public_key": "release.pub"})
    sign(package, KeySigner(pair.private))
    monkeypatch.chdir(package)
    assert open_package(package, signature=read_policy(file)).signed_by
    names = [str(authority.root), "Ours-middle.crt"]
    write_yaml(file, {"required": True, "method": "certificate", "certificates": names})
    assert read_policy(file).certificates == (authority.root, authority.middle)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "required"),
        ({"required": True}, "needs a method"),
        ({"required": True, "method": "magic"}, "method"),
        ({"required": True, "method": "key"}, "needs public_key"),
        ({"required": True, "method": "certificate", "certificates": []}, "needs certificates"),
        ({"required": True, "method": "sigstore", "identity": "me"}, "needs identity_provider"),
        ({"required": True, "method": "key", "public_key": "a", "identity": "b"}, "not of the method"),
        ({"required": False, "public_key": "a"}, "not of the method"),
        ({"required": False, "requred": True}, "requred"),
    ],
)  # fmt: skip
def test_a_policy_that_does_not_fit_is_refused(tmp_path: Path, values: dict, words: str) -> None:
    write_yaml(tmp_path / "signing.yaml", values)
    with pytest.raises(ParamsError, match=words):
        read_policy(tmp_path / "signing.yaml")


# The commands


def run(*arguments: str | Path, code: int = 0) -> Result:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def work(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return package.relative_to(tmp_path)


def test_sign_and_verify_on_the_command_line(work: Path, pair: Pair) -> None:
    written = run("sign", work, "--private-key", pair.private, "--json")
    assert json.loads(written.stdout) == {"signature": "models/dlib-v1.0.0.sig"}
    shown = json.loads(run("verify", work, "--public-key", pair.public, "--json").stdout)
    assert shown["id"] == "lmk-dlib-v1.0.0"
    assert shown["signed_by"].startswith("key sha256:")
    assert "Signed by key" in run("verify", work / "model.dat", "--public-key", pair.public).stdout
    assert run("sign", work / "model.dat", "--private-key", pair.private).stdout.endswith(".sig\n")


def test_certificates_on_the_command_line(work: Path, authority: Authority) -> None:
    leaf = authority.leaf()
    run("sign", work, "--private-key", leaf.private_key, "--certificate", leaf.certificate,
        "--chain", authority.middle)  # fmt: skip
    assert "CN=Ours leaf" in run("verify", work, "--ca", authority.root).stdout


def test_verify_without_a_policy_asks_for_no_signature(work: Path) -> None:
    assert json.loads(run("verify", work, "--json").stdout)["signed_by"] is None
    assert "Signed" not in run("verify", work).stdout


def test_verify_follows_the_policy_file_where_there_is_one(work: Path, pair: Pair) -> None:
    policy = {"required": True, "method": "key", "public_key": "release.pub"}
    write_yaml(Path("conf/signing.yaml"), policy)
    assert "dlib-v1.0.0.sig is missing" in run("verify", work, code=3).stderr
    run("sign", work, "--private-key", pair.private)
    assert "Signed by key" in run("verify", work).stdout
    write_yaml(Path("conf/other.yaml"), {"required": False})
    assert "Signed" not in run("verify", work, "--policy", "conf/other.yaml").stdout
    assert "nowhere.yaml" in run("verify", work, "--policy", "nowhere.yaml", code=2).stderr


def test_a_password_comes_from_the_environment(
    work: Path, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = serialization.load_pem_private_key(pair.private.read_bytes(), None)
    command = ("sign", work, "--private-key", write_private(tmp_path / "locked.pem", key, "a word"))
    assert "encrypted" in run(*command, code=2).stderr
    assert "WORD is not set" in run(*command, "--password-env", "WORD", code=2).stderr
    monkeypatch.setenv("WORD", "wrong")
    assert "Incorrect password" in run(*command, "--password-env", "WORD", code=2).stderr
    monkeypatch.setenv("WORD", "a word")
    run(*command, "--password-env", "WORD")
    run("verify", work, "--public-key", pair.public)


@pytest.mark.parametrize(
    "options",
    [
        ["sign", "P"],
        ["sign", "P", "--certificate", "c"],
        ["sign", "P", "--sigstore", "--private-key", "k"],
        ["sign", "P", "--private-key", "k", "--chain", "c"],
        ["sign", "P", "--private-key", "k", "--staging"],
        ["sign", "P", "--private-key", "k", "--certificate", "c", "--password-env", "HOME"],
        ["sign", "nowhere", "--private-key", "k"],
        ["verify", "P", "--public-key", "k", "--ca", "c"],
        ["verify", "P", "--identity", "me"],
        ["verify", "P", "--staging"],
        ["verify", "P", "--public-key", "k", "--policy", "p"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together_are_wrong_input(work: Path, options: list[str]) -> None:
    done = run(*(str(work) if word == "P" else word for word in options), code=2)
    assert done.stderr.startswith("Error: ")
    assert done.stdout == ""


def test_keyless_signing_without_a_network_fails_with_code_1(work: Path, offline: None) -> None:
    assert "Sigstore cannot be used" in run("sign", work, "--sigstore", code=1).stderr
    assert not os.path.lexists("models/dlib-v1.0.0.sig")
