"""Signatures of packages: written beside the folder, verified before anything in it is parsed.

`facenet-v2.1.3.sig` is what OpenSSF's model-signing makes of `facenet-v2.1.3/`: a Sigstore
bundle over an in-toto statement of every file's SHA-256 (docs/formats/package.md). That
library takes half a second to import: only the functions that use it do.
"""

from __future__ import annotations

import base64
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from facemodels.errors import InputError, IntegrityError, ToolError
from facemodels.files import sha256
from facemodels.package.verify import CHECKSUMS
from facemodels.params import Frozen, load_yaml, parse

if TYPE_CHECKING:
    from model_signing import hashing, verifying

Method = Literal["key", "certificate", "sigstore"]

POLICY = Path("conf", "signing.yaml")
SUFFIX = ".sig"
_MAX_SIZE = 1 << 20  # bytes; the signature of a package has about 5 kB
_REMEDY = "Get the package and its signature from where they were released; do not load it."
# What each method is verified against; settings of another method are a mistake.
_NEEDS: dict[Method | None, set[str]] = {
    None: set(),
    "key": {"public_key"},
    "certificate": {"certificates"},
    "sigstore": {"identity", "identity_provider"},
}
# How each method says in a bundle what it was signed with.
_MATERIAL: dict[str, Method] = {
    "publicKey": "key",
    "x509CertificateChain": "certificate",
    "certificate": "sigstore",
}
# What parsers raise on files that someone else may have written.
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class SignaturePolicy(Frozen):
    """Whether packages must be signed, and by whom; conf/signing.yaml.

    Attributes:
        required: without it, signatures are not looked at.
        method: how packages are signed; the settings of that method follow.
        public_key: PEM file of an EC key (P-256, P-384 or P-521).
        certificates: PEM files of the authorities that signing certificates must lead to.
        identity: who signed through Sigstore: an email address or a workflow's URL.
        identity_provider: URL of the OpenID Connect issuer that vouched for the identity.
        staging: Sigstore's staging instance, for trials.
    """

    required: bool
    method: Method | None = None
    public_key: Path | None = None
    certificates: tuple[Path, ...] = ()
    identity: str = ""
    identity_provider: str = ""
    staging: bool = False

    @model_validator(mode="after")
    def _fits_its_method(self) -> Self:
        if self.required and self.method is None:
            raise ValueError("a required signature needs a method: key, certificate or sigstore")
        needed = _NEEDS[self.method]
        given = {name for names in _NEEDS.values() for name in names if getattr(self, name)}
        if missing := needed - given:
            raise ValueError(f"the method {self.method} needs {', '.join(sorted(missing))}")
        if foreign := given - needed:
            raise ValueError(f"{', '.join(sorted(foreign))}: not of the method {self.method}")
        return self

    def check(self, folder: Path, digests: Mapping[str, str]) -> str:
        """Verify the signature of a package whose checksums were verified.

        Args:
            folder: the package.
            digests: what `verify` returned for it.

        Returns:
            Who or what signed, for people.

        Raises:
            IntegrityError: the signature is missing, malformed, of other files, or not of
                the key, authority or identity that the policy names.
            InputError: a key or certificate of the policy cannot be read.
            ToolError: Sigstore's services cannot be reached.
        """
        return _check(folder, digests, self)


def read_policy(path: Path) -> SignaturePolicy:
    """Read a policy such as conf/signing.yaml.

    Relative paths in it count from the folder above the file's: the repository's root.

    Raises:
        ParamsError: the file is missing or does not fit the schema.
    """
    policy = parse(SignaturePolicy, load_yaml(path), str(path))
    root = path.absolute().parent.parent
    return policy.model_copy(
        update={
            "public_key": policy.public_key and root / policy.public_key,
            "certificates": tuple(root / file for file in policy.certificates),
        }
    )


def signature_path(folder: Path) -> Path:
    """Where the signature of a package lies: beside it, as the package never changes.

    Args:
        folder: the package, such as `models/recognition/facenet-v2.1.3`; need not exist.

    Returns:
        For that one `models/recognition/facenet-v2.1.3.sig`; need not exist either.
    """
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return named.with_name(f"{named.name}{SUFFIX}")


@dataclass(frozen=True)
class _Claims:
    """What a signature says of itself; believed only once it is verified.

    Attributes:
        method: how it was signed.
        material: what it was signed with, as in the bundle.
        digests: SHA-256 of each file, by name.
    """

    method: Method
    material: Any
    digests: dict[str, str]


def _check(folder: Path, digests: Mapping[str, str], policy: SignaturePolicy) -> str:
    if policy.method is None:
        raise InputError("The policy names no method of signing.", "Set `method` in it.")
    path = signature_path(folder)
    data = _read(path)
    try:
        claims = _parse(data)
    except _MALFORMED as error:
        raise IntegrityError(f"{path} is not a signature: {_line(error)}.", _REMEDY) from error
    if claims.method != policy.method:
        raise IntegrityError(
            f"{path} was signed by {claims.method}, the policy asks for {policy.method}.", _REMEDY
        )
    _compare(claims.digests, {**digests, CHECKSUMS: sha256(folder / CHECKSUMS)}, path)
    config = _verifying(policy).set_hashing_config(hashing_config())
    return _authentic(config, folder, data, claims, policy)


def _read(path: Path) -> bytes:
    """The bytes of a signature: read once, so that all checks see the same."""
    if not path.is_file():
        raise IntegrityError(
            f"{path} is missing, and the policy requires a signature.",
            "Get it from where the package was released, or make it with `facemodels sign`.",
        )
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_SIZE + 1)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {_line(error)}.", _REMEDY) from error
    if len(data) > _MAX_SIZE:
        raise IntegrityError(f"{path} is larger than any signature.", _REMEDY)
    return data


def _parse(data: bytes) -> _Claims:
    """Read what a bundle claims.

    By the keys that model-signing reads: it refuses a bundle that has others beside them.

    Raises:
        ValueError, TypeError, LookupError, AttributeError, RecursionError: it is no bundle.
    """
    bundle = json.loads(data)
    material = bundle["verificationMaterial"]
    kinds = [kind for kind in _MATERIAL if kind in material]
    if len(kinds) != 1:
        raise ValueError("it does not say what it was signed with")
    kind = kinds[0]
    if kind == "publicKey" and not material[kind]["hint"]:
        raise ValueError("it does not say which key it is of")
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
    resources = statement["predicate"]["resources"]
    digests = {str(resource["name"]): str(resource["digest"]) for resource in resources}
    return _Claims(_MATERIAL[kind], material[kind], digests)


def _compare(claimed: Mapping[str, str], present: Mapping[str, str], path: Path) -> None:
    """Every file of the package, and no other, must be in the signature.

    model-signing would follow a signature that leaves files out (`ignore_paths`).
    """
    if claimed != present:
        common = claimed.keys() & present.keys()
        raise IntegrityError(
            f"{path} is the signature of other files",
            _REMEDY,
            extra=tuple(sorted(present.keys() - claimed.keys())),
            missing=tuple(sorted(claimed.keys() - present.keys())),
            changed=tuple(sorted(name for name in common if claimed[name] != present[name])),
        )


def _authentic(
    config: verifying.Config, folder: Path, data: bytes, claims: _Claims, policy: SignaturePolicy
) -> str:
    """Check who signed, and say it.

    Raises:
        IntegrityError: it was not signed by whom the policy names.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from OpenSSL import crypto
    from sigstore.errors import Error as SigstoreError

    refused = (
        *_MALFORMED, OSError, InvalidSignature, UnsupportedAlgorithm, SigstoreError,
        crypto.Error, crypto.X509StoreContextError, x509.DuplicateExtension, x509.InvalidVersion,
    )  # fmt: skip
    path = signature_path(folder)
    try:
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            # model-signing 1.1 calls logger.warn where a certificate names no usage.
            warnings.filterwarnings("ignore", "The 'warn' method", DeprecationWarning)
            copy = Path(scratch, path.name)
            copy.write_bytes(data)
            config.verify(folder, copy)
        return _signer_of(claims, policy)
    except refused as error:
        reason = _line(error) or "the signature does not fit the key"
        raise IntegrityError(
            f"{path} was not signed by whom the policy names: {reason}.", _REMEDY
        ) from error


def _signer_of(claims: _Claims, policy: SignaturePolicy) -> str:
    """Who signed, of claims that were verified."""
    if claims.method == "key":
        return f"key sha256:{claims.material['hint']}"
    if claims.method == "sigstore":
        return f"identity {policy.identity} of {policy.identity_provider}"
    return f"certificate {_valid_today(claims.material['certificates'], policy)}"


def _valid_today(chain: list[Mapping[str, str]], policy: SignaturePolicy) -> str:
    """Subject of the signing certificate, if its chain is valid now.

    model-signing takes the first second of the certificate as the time of signing, so that
    it never finds one expired; without a trusted timestamp only now is safe.
    """
    from cryptography import x509
    from OpenSSL import crypto

    encoded = [base64.b64decode(link["rawBytes"], validate=True) for link in chain]
    found = [x509.load_der_x509_certificate(certificate) for certificate in encoded]
    store = crypto.X509Store()
    for file in policy.certificates:
        for authority in x509.load_pem_x509_certificates(file.read_bytes()):
            store.add_cert(crypto.X509.from_cryptography(authority))
    leaf, *above = (crypto.X509.from_cryptography(certificate) for certificate in found)
    crypto.X509StoreContext(store, leaf, above).verify_certificate()
    return found[0].subject.rfc4514_string()


def _verifying(policy: SignaturePolicy) -> verifying.Config:
    """model-signing's verifier of the policy.

    Raises:
        InputError: a key or certificate cannot be read.
        ToolError: Sigstore's services cannot be reached.
    """
    from model_signing.verifying import Config

    config = Config()  # type: ignore[no-untyped-call]  # upstream: __init__ without annotation
    if policy.public_key is not None:
        with readable(policy.public_key):
            return config.use_elliptic_key_verifier(public_key=policy.public_key)
    if policy.certificates:
        with readable(*policy.certificates):
            return config.use_certificate_verifier(certificate_chain=policy.certificates)
    with services():
        return config.use_sigstore_verifier(
            identity=policy.identity,
            oidc_issuer=policy.identity_provider,
            use_staging=policy.staging,
        )


def hashing_config() -> hashing.Config:
    """model-signing's settings for both signing and verifying: each file by its SHA-256.

    Links to files are followed: `verify` has refused all but those that DVC makes.
    """
    from model_signing.hashing import Config

    config = Config()  # type: ignore[no-untyped-call]  # upstream: __init__ without annotation
    return config.set_allow_symlinks(True).set_ignored_paths(paths=(), ignore_git_paths=False)


@contextmanager
def readable(*files: Path) -> Iterator[None]:
    """Say of which key or certificate files a failure inside of the block is.

    Args:
        files: PEM files that the block reads.

    Raises:
        InputError: the block could not read them, or they hold no EC key or another password.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        yield
    except (OSError, ValueError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
        # An AttributeError is model-signing asking an RSA or Ed25519 key for its curve.
        reason = "no EC key" if isinstance(error, AttributeError) else _line(error)
        names = ", ".join(str(file) for file in files)
        raise InputError(
            f"{names} cannot be used: {reason}.",
            "Give PEM files with an EC key (P-256, P-384 or P-521), and the right password.",
        ) from error


@contextmanager
def services() -> Iterator[None]:
    """Say of any failure inside of the block that it is Sigstore's.

    Its parts' errors share no base but Exception.

    Raises:
        ToolError: the block failed; the network, a service or the identity is missing.
    """
    try:
        yield
    except Exception as error:
        raise ToolError(
            f"Sigstore cannot be used: {_line(error)}.",
            "It needs the network and an identity; without, use key files or certificates.",
        ) from error


def _line(error: BaseException) -> str:
    """The message of a foreign error in one line without a final dot."""
    return " ".join(str(error).split()).rstrip(".")
