"""Signing packages: with key files, with certificates, or without keys through Sigstore."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemodels.errors import InputError
from facemodels.files import atomic_path
from facemodels.package.signature import hashing_config, readable, services, signature_path
from facemodels.package.verify import verify

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from model_signing import signing


@dataclass(frozen=True)
class KeySigner:
    """Signs with an EC key.

    Attributes:
        private_key: PEM file of a private key of the curve P-256, P-384 or P-521.
        password: of an encrypted file; None for one that is not. It is never shown.
    """

    private_key: Path
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CertificateSigner:
    """Signs with the key of a certificate.

    Attributes:
        private_key: PEM file of the certificate's EC private key, not encrypted.
        certificate: PEM file of the certificate, valid now.
        chain: PEM files of the certificates above it, if there are any.
    """

    private_key: Path
    certificate: Path
    chain: tuple[Path, ...] = ()


@dataclass(frozen=True)
class SigstoreSigner:
    """Signs without keys: with the identity of a CI job, or of a person by the browser.

    Attributes:
        staging: use Sigstore's staging instance, for trials.
    """

    staging: bool = False


Signer = KeySigner | CertificateSigner | SigstoreSigner


def sign(folder: Path, signer: Signer) -> Path:
    """Sign a whole package; an older signature is replaced, at once and only on success.

    Args:
        folder: the package; its checksums are verified first, and nothing in it is written.
        signer: with what.

    Returns:
        The file of the signature.

    Raises:
        InputError: no package, or the key or certificate cannot be read or used.
        IntegrityError: the package is not what its checksums say.
        ToolError: Sigstore's services cannot be used.
    """
    verify(folder)
    config = _signing(signer).set_hashing_config(hashing_config())
    guard = services() if isinstance(signer, SigstoreSigner) else nullcontext()
    target = signature_path(folder)
    with atomic_path(target) as temporary, guard:
        config.sign(folder, temporary)
    return target


def _signing(signer: Signer) -> signing.Config:
    """model-signing's signer.

    Raises:
        InputError: a key or certificate cannot be read or used.
        ToolError: Sigstore's services cannot be reached.
    """
    from model_signing.signing import Config

    config = Config()  # type: ignore[no-untyped-call]  # upstream: __init__ without annotation
    if isinstance(signer, KeySigner):
        password: Any = signer.password.encode() if signer.password else None  # str: TypeError
        with readable(signer.private_key):
            return config.use_elliptic_key_signer(private_key=signer.private_key, password=password)
    if isinstance(signer, CertificateSigner):
        with readable(signer.private_key, signer.certificate, *signer.chain):
            _usable_now(signer.certificate)
            return config.use_certificate_signer(
                private_key=signer.private_key,
                signing_certificate=signer.certificate,
                # An empty chain is an error there; the certificate twice says nothing more.
                certificate_chain=signer.chain or (signer.certificate,),
            )
    with services():
        return config.use_sigstore_signer(use_ambient_credentials=True, use_staging=signer.staging)


def _usable_now(path: Path) -> None:
    """Refuse to make a signature that nobody would accept."""
    from cryptography import x509

    certificate: Certificate = x509.load_pem_x509_certificate(path.read_bytes())
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= datetime.now(UTC) <= last:
        raise InputError(
            f"{path} is valid from {first} to {last} only.", "Sign with a current certificate."
        )
