"""`facemodels bundle`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from facemodels.cli.options import FILE, FILE_OR_FOLDER, FOLDER, json_option, output
from facemodels.names import ModelId, ModelName, Version
from facemodels.params import Card, load_yaml, parse


@click.command()
@click.option(
    "--member", "folders", type=FILE_OR_FOLDER, multiple=True, required=True,
    help="Package of a detector, a recogniser, or landmarks where the detector gives no points.",
)  # fmt: skip
@click.option("--name", default="system-faces", show_default=True)
@click.option("--version", required=True, help="MAJOR.MINOR.PATCH")
@click.option(
    "--test-data", type=FOLDER,
    help="Folders of people's photos, or prepared photos; generated ones if not given.",
)  # fmt: skip
@click.option("--fmr", type=click.FloatRange(0, 1, min_open=True), default=0.01, show_default=True,
              help="False match rate that the threshold gives.")  # fmt: skip
@click.option("--least-eyes", type=click.FloatRange(0), default=20.0, show_default=True,
              help="Pixels between the eyes of a face that is compared.")  # fmt: skip
@click.option("--least-sharpness", type=click.FloatRange(0), default=0.0, show_default=True)
@click.option("--calibration", "calibration_file", type=FILE,
              help="YAML with the thresholds of the same recogniser on other photos.")  # fmt: skip
@click.option("--card", "card_file", type=FILE, help="YAML with the words of the version.")
@click.option("--output", "folder", type=FOLDER, help="Folder of the package.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--dry-run", is_flag=True, help="Measure it, and write nothing.")
@json_option
def bundle(
    folders: tuple[Path, ...],
    name: str,
    version: str,
    test_data: Path | None,
    fmr: float,
    least_eyes: float,
    least_sharpness: float,
    calibration_file: Path | None,
    card_file: Path | None,
    folder: Path | None,
    threads: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make one version, a system, of the packages that turn a photo into an answer.

    It is measured from the photo on: what the detector misses counts as not matched. The split
    `val` gives the threshold of each false match rate, `test` the figures. Its licence is the
    strictest of its members'. Without --output it goes where the version belongs below models/.

    \b
    Example:
      facemodels bundle --member models/detection/mtcnn-v1.0.0 \\
          --member models/recognition/dlib-v1.0.0 --test-data data/raw/lfw --version 1.0.0
      facemodels serve models/system/faces-v1.0.0
    """
    from facemodels.package.policies import open_signed
    from facemodels.pipeline import bundle as step
    from facemodels.pipeline.system import members_of
    from facemodels.system.calibration import Calibration
    from facemodels.system.quality import QualityLimits

    model = ModelId(ModelName.parse(name), Version.parse(version))
    members = members_of([open_signed(member) for member in folders])
    newest = max(str(package.metadata["created_at"]) for package in members.values())
    words = _card(card_file, model, test_data, newest)
    known = Calibration.of_json(load_yaml(calibration_file)) if calibration_file else None
    with _photos(test_data) as data:
        made = step.bundle(
            model,
            members,
            data,
            words=words,
            fmr=fmr,
            quality=QualityLimits(eyes=least_eyes, sharpness=least_sharpness),
            gates={},
            target=folder or Path(model.folder),
            threads=threads,
            calibration=known,
            dry_run=dry_run,
        )
    done = f"Wrote {made.target}" if made.target else f"Would write {folder or model.folder}"
    output(made.as_json(), f"{made.table()}\n{done}\n", as_json=as_json)


def _card(file: Path | None, model: ModelId, data: Path | None, created_at: str) -> Card:
    """The words of a version: from a file, or none but what it is of and of when."""
    if file is not None:
        return parse(Card, load_yaml(file), str(file))
    return Card(
        created_at=created_at,
        author="unknown",
        description=f"{model.name}: from a photo to its faces and who they are.",
        changelog="Not written.",
        known_issues="Not written.",
        license="unknown",
        training_dataset=data.name if data else "generated photos",
        parent_version="",
    )


@contextmanager
def _photos(path: Path | None) -> Iterator[Path]:
    """Prepared photos: of a path, or drawn."""
    import tempfile

    from facemodels.data.datasets import Dataset
    from facemodels.data.kinds.sample import SamplePhotoKind, SamplePhotoSettings
    from facemodels.pipeline.layout import dataset
    from facemodels.pipeline.prepare import prepare

    if path is not None:
        with dataset(path, "system", testing=True) as data:
            yield data
        return
    settings = SamplePhotoSettings(
        reader="sample", source="generated photos", image_size=320, seed=1, people=60, train=1,
        val=80, test=120,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        prepare(Dataset(SamplePhotoKind(), settings), Path(scratch), report=None, picture=None)
        yield Path(scratch)
