"""`facemodels sign`, and the signature options of `facemodels verify`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facemodels.cli.options import FILE, FILE_OR_FOLDER, Function, json_option, output
from facemodels.errors import InputError

if TYPE_CHECKING:
    from facemodels.package.load import Signature
    from facemodels.package.signing import Signer


@click.command()
@click.argument("path", type=FILE_OR_FOLDER)
@click.option("--private-key", type=FILE, help="EC key as a PEM file.")
@click.option("--password-env", help="Environment variable with the key's password.")
@click.option("--certificate", type=FILE, help="Certificate of the key as a PEM file.")
@click.option("--chain", type=FILE, multiple=True, help="Certificates above it; repeatable.")
@click.option(
    "--sigstore", is_flag=True, help="Sign without keys, with your or the job's identity."
)
@click.option("--staging", is_flag=True, help="Use Sigstore's staging instance.")
@json_option
def sign(
    path: Path,
    private_key: Path | None,
    password_env: str | None,
    certificate: Path | None,
    chain: tuple[Path, ...],
    sigstore: bool,
    staging: bool,
    as_json: bool,
) -> None:
    """Sign the package at PATH into the file PATH.sig beside it.

    With a key, with a certificate and its key, or keyless through Sigstore.

    \b
    Example:
      facemodels sign models/recognition/facenet-v1.0.0 --private-key release.pem
      facemodels verify models/recognition/facenet-v1.0.0 --public-key release.pub
    """
    from facemodels.package import signing

    signer: Signer
    if sigstore:
        _refuse({"--private-key": private_key, "--certificate": certificate, "--chain": chain,
                 "--password-env": password_env}, "--sigstore")  # fmt: skip
        signer = signing.SigstoreSigner(staging=staging)
    elif private_key is None:
        raise InputError("Nothing to sign with.", "Give --private-key or --sigstore.")
    elif certificate is not None:
        # model-signing reads the keys of certificates without a password only.
        _refuse({"--password-env": password_env, "--staging": staging}, "--certificate")
        signer = signing.CertificateSigner(private_key, certificate, chain)
    else:
        _refuse({"--chain": chain, "--staging": staging}, "--private-key alone")
        signer = signing.KeySigner(private_key, _password(password_env))
    written = signing.sign(path.parent if path.is_file() else path, signer)
    output({"signature": str(written)}, f"Wrote {written}\n", as_json=as_json)


def policy_options(function: Function) -> Function:
    """The options from which `chosen_policy` makes a policy."""
    options = (
        click.option("--public-key", type=FILE, help="Must be signed by this key (PEM)."),
        click.option("--ca", type=FILE, multiple=True, help="… by a certificate below this one."),
        click.option("--identity", help="… through Sigstore, by this address or workflow."),
        click.option("--identity-provider", help="URL of the issuer of --identity."),
        click.option("--staging", is_flag=True, help="Use Sigstore's staging instance."),
        click.option("--policy", type=FILE, help="Policy file, if not conf/signing.yaml."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def chosen_policy(
    *,
    public_key: Path | None,
    ca: tuple[Path, ...],
    identity: str | None,
    identity_provider: str | None,
    staging: bool,
    policy: Path | None,
    package: Path,
) -> Signature:
    """The policy that the options give, or else the file's, or else the repositories'.

    Args:
        public_key: PEM file of the key that must have signed.
        ca: PEM files of the authorities that the signing certificate must lead to.
        identity: who must have signed through Sigstore.
        identity_provider: URL of the issuer that vouched for the identity.
        staging: Sigstore's staging instance.
        policy: file of a policy; None takes conf/signing.yaml, see `package.policies`.
        package: the package that is verified.

    Raises:
        InputError: the options contradict each other.
        ParamsError: the file is missing or does not fit the schema, or the options do not.
    """
    from facemodels.package.policies import policy_of
    from facemodels.package.signature import SignaturePolicy
    from facemodels.params import parse

    given = {
        "public_key": public_key,
        "certificates": ca,
        "identity": identity,
        "identity_provider": identity_provider,
        "staging": staging,
    }
    given = {key: value for key, value in given.items() if value}
    if not given:
        return policy_of(package, policy)
    if policy is not None:
        raise InputError(
            "--policy and options that say who signed contradict each other.", "Give one of them."
        )
    method = "key" if public_key else "certificate" if ca else "sigstore"
    return parse(
        SignaturePolicy, {"required": True, "method": method, **given}, "The options' policy"
    )


def _refuse(options: dict[str, object], beside: str) -> None:
    foreign = [name for name, value in options.items() if value]
    if foreign:
        raise InputError(f"{', '.join(foreign)} cannot be used with {beside}.", "Leave one out.")


def _password(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise InputError(
            f"The environment variable {variable} is not set.", "Put the key's password there."
        )
    return os.environ[variable]
