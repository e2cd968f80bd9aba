"""`facemodels package` and `facemodels verify`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from facemodels.cli.options import FILE, FILE_OR_FOLDER, FOLDER, json_option, output
from facemodels.cli.signature import chosen_policy, policy_options
from facemodels.cli.validate import VALIDATION
from facemodels.names import ModelId, ModelName, Version
from facemodels.params import UNKNOWN, Card, load_yaml, parse


@click.command()
@click.option(
    "--model", type=FILE_OR_FOLDER, required=True, help="Trained weights, or their folder."
)
@click.option("--name", required=True, help="For example recognition-facenet.")
@click.option("--version", required=True, help="MAJOR.MINOR.PATCH")
@click.option("--variant", default="", help="For example gpu.")
@click.option("--output", "folder", type=FOLDER, help="Folder of the package.")
@click.option("--card", "card_file", type=FILE, help="YAML with the words of the version.")
@click.option("--author", help="Who made it.")
@click.option("--license", "licence", help="Licence of the weights, as SPDX identifier.")
@click.option("--training-dataset", help="Name of the dataset that it was trained on.")
@json_option
def package(
    model: Path,
    name: str,
    version: str,
    variant: str,
    folder: Path | None,
    card_file: Path | None,
    author: str | None,
    licence: str | None,
    training_dataset: str | None,
    as_json: bool,
) -> None:
    """Build the package of trained weights.

    The words of the version come from --card and the options; what neither states is
    "unknown", and the registry refuses it. Without --output it goes where the version
    belongs below models/.

    \b
    Example:
      facemodels package --model models/recognition/facenet-v2.2.0/model.pt \\
          --name recognition-facenet --version 2.2.0 --author "Ann Example" \\
          --license Apache-2.0 --training-dataset HELEN \\
          --output models/recognition/facenet-v2.2.0
    """
    from facemodels.package.build import read_validation
    from facemodels.pipeline.package import package as build
    from facemodels.pipeline.trained import find_trained

    identity = ModelId(ModelName.parse(name), Version.parse(version), variant)
    weights = find_trained(model).weights
    validated = weights.parent / VALIDATION
    options = {"author": author, "license": licence, "training_dataset": training_dataset}
    stated = {name: value for name, value in options.items() if value}
    card = _card(identity, card_file, weights, stated)
    _warn_of_unknown(card)
    built = build(
        weights=weights,
        model=identity,
        card=card,
        validation=read_validation(validated) if validated.is_file() else {},
        output=folder or Path(identity.folder),
    )
    output({"id": str(identity), "path": str(built)}, f"Wrote {built}\n", as_json=as_json)


def _card(model: ModelId, file: Path | None, weights: Path, stated: dict[str, str]) -> Card:
    """The words of a version: a file's, or those that were stated.

    A card is never inherited, from params.yaml or from anywhere: it would say of these weights
    what is true of others, their licence included. Weights that training started from have a
    licence that training recorded; without another statement it is theirs.
    """
    if file is not None:
        return parse(Card, load_yaml(file) | stated, str(file))
    from facemodels.pipeline.package import read_training

    start = read_training(weights.parent).get("initial_weights")
    written = datetime.fromtimestamp(weights.stat().st_mtime, UTC)
    words = {
        "created_at": written.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "author": UNKNOWN,
        "description": f"{model.name}.",
        "changelog": "Not written.",
        "known_issues": "Not written.",
        "license": start["license"] if start else UNKNOWN,
        "training_dataset": UNKNOWN,
        "parent_version": "",
    }
    return Card(**(words | stated))


def _warn_of_unknown(card: Card) -> None:
    """Say what the card leaves open, before somebody meets it at the registration."""
    options = ("author", "license", "training_dataset")
    missing = [f"--{name.replace('_', '-')}" for name in options if getattr(card, name) == UNKNOWN]
    if missing:
        click.echo(
            f"The card says unknown where nothing was stated: give {', '.join(missing)}, "
            "or --card. The registry refuses a version of unknown origin.",
            err=True,
        )


@click.command()
@click.argument("path", type=FILE_OR_FOLDER)
@policy_options
@json_option
def verify(
    path: Path,
    public_key: Path | None,
    ca: tuple[Path, ...],
    identity: str | None,
    identity_provider: str | None,
    staging: bool,
    policy: Path | None,
    as_json: bool,
) -> None:
    """Check the package at PATH; exit code 3 and the list of differences if it is not whole.

    Its signature, PATH.sig, is checked where an option or the policy file requires it.

    \b
    Example:
      facemodels verify models/recognition/facenet-v1.0.0
      facemodels verify models/recognition/facenet-v1.0.0 --public-key release.pub
    """
    from facemodels.package.load import open_package

    required = chosen_policy(
        public_key=public_key,
        ca=ca,
        identity=identity,
        identity_provider=identity_provider,
        staging=staging,
        policy=policy,
        package=path,
    )
    opened = open_package(path, signature=required)
    result = {
        "id": str(opened.id),
        "digest": f"sha256:{opened.digest}",
        "signed_by": opened.signed_by or None,
    }
    text = f"{opened.id} is whole, sha256:{opened.digest}\n"
    if opened.signed_by:
        text += f"Signed by {opened.signed_by}\n"
    output(result, text, as_json=as_json)
