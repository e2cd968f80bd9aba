"""`facemodels package` and `facemodels verify`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from facemodels.cli.options import FILE, FILE_OR_FOLDER, FOLDER, json_option, output
from facemodels.cli.signature import chosen_policy, policy_options
from facemodels.cli.validate import VALIDATION
from facemodels.git import root_or
from facemodels.names import ModelId, ModelName, Version
from facemodels.params import Card, load, load_yaml, parse


@click.command()
@click.option(
    "--model", type=FILE_OR_FOLDER, required=True, help="Trained weights, or their folder."
)
@click.option("--name", required=True, help="For example recognition-facenet.")
@click.option("--version", required=True, help="MAJOR.MINOR.PATCH")
@click.option("--variant", default="", help="For example gpu.")
@click.option("--output", "folder", type=FOLDER, help="Folder of the package.")
@click.option("--card", "card_file", type=FILE, help="YAML with the words of the version.")
@json_option
def package(
    model: Path,
    name: str,
    version: str,
    variant: str,
    folder: Path | None,
    card_file: Path | None,
    as_json: bool,
) -> None:
    """Build the package of trained weights.

    The words of the version come from --card, or else from the model's card in
    params.yaml. Without --output it goes where the version belongs below models/.

    \b
    Example:
      facemodels package --model models/recognition/facenet-v2.2.0/model.pt \\
          --name recognition-facenet --version 2.2.0 \\
          --output models/recognition/facenet-v2.2.0
    """
    from facemodels.package.build import read_validation
    from facemodels.pipeline.package import package as build
    from facemodels.pipeline.trained import find_trained

    identity = ModelId(ModelName.parse(name), Version.parse(version), variant)
    weights = find_trained(model).weights
    validated = weights.parent / VALIDATION
    built = build(
        weights=weights,
        model=identity,
        card=_card(identity, card_file, weights),
        validation=read_validation(validated) if validated.is_file() else {},
        output=folder or Path(identity.folder),
    )
    output({"id": str(identity), "path": str(built)}, f"Wrote {built}\n", as_json=as_json)


def _card(model: ModelId, file: Path | None, weights: Path) -> Card:
    """The words of a version: from a file, from params.yaml, or none but the date."""
    if file is not None:
        return parse(Card, load_yaml(file), str(file))
    params = root_or(Path.cwd()) / "params.yaml"
    if params.is_file():
        known = load(params).models.get(str(model.name))
        if known is not None:
            return known.card
    written = datetime.fromtimestamp(weights.stat().st_mtime, UTC)
    return Card(
        created_at=written.strftime("%Y-%m-%dT%H:%M:%SZ"),
        author="unknown",
        description=f"{model.name}.",
        changelog="Not written.",
        known_issues="Not written.",
        license="unknown",
        training_dataset="unknown",
        parent_version="",
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
