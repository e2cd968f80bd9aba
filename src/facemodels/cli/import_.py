"""`facemodels import`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.cli.import_options import (
    card,
    detector_options,
    next_commands,
    numbers,
    one_file,
    pair,
    recogniser_options,
    stated_by,
)
from facemodels.cli.options import (
    FILE,
    FOLDER,
    detector_option,
    json_option,
    output,
    prepared_or,
)
from facemodels.errors import InputError, RuleError
from facemodels.git import root_or
from facemodels.names import ModelId, ModelName, Version

if TYPE_CHECKING:
    from facemodels.detection.decodes.heads import PictureInput
    from facemodels.importing.detector import ExaminedDetector
    from facemodels.importing.recogniser import ExaminedRecogniser
    from facemodels.importing.steps import ImportedFile, Measured
    from facemodels.params import Card
    from facemodels.recognition.task import Preprocessing

    Examined = ExaminedRecogniser | ExaminedDetector


@click.command("import")
@click.option("--onnx", "onnx_file", type=FILE, help="The network, as ONNX.")
@click.option("--torch", "torch_file", type=FILE, help="Or a state dict, .pt or .safetensors, …")
@click.option("--architecture", default="", help="… of this architecture: facenet, arcface, …")
@click.option("--network", multiple=True, metavar="KEY=VALUE", help="… with these parameters.")
@click.option("--drop-unexpected", is_flag=True, help="Leave out weights that it has no place for.")
@click.option("--keras", "keras_file", type=FILE, help="Or a Keras model, .h5 or .keras.")
@click.option("--name", required=True, help="For example recognition-x; it may be new.")
@click.option("--version", required=True, help="MAJOR.MINOR.PATCH")
@click.option("--variant", default="", help="For example gpu.")
@click.option("--crop", default="", help="How a face is cut out: arcface112, dlib150, …")
@click.option("--colour", type=click.Choice(("RGB", "BGR")), help="Order of the channels.")
@click.option("--mean", help="Of pixels 0..255, taken off: one number, or one a channel.")
@click.option("--scale", help="Then multiplied by: one number, or one a channel.")
@click.option("--size", type=click.IntRange(8, 1024), help="Side of the input, if it is free.")
@click.option("--fill", type=click.IntRange(0, 255), default=114, help="Detector: grey of bars.")
@click.option("--decode", default="", help="Detector: scrfd, retinaface or yolov8.")
@click.option(
    "--decode-option", multiple=True, metavar="KEY=VALUE", help="Detector: of the decode."
)
@click.option("--embedding-output", default="", help="Output of the graph, if it has several.")
@click.option("--license", "license_", help="Licence of the weights, as SPDX has it.")
@click.option("--source", default="", help="Where its author publishes it.")
@click.option("--title", default="", help="Name of the architecture, for example iResNet-50.")
@click.option("--description", default="", help="A sentence for the card.")
@click.option("--training-dataset", default="", help="What it was trained on, by its author.")
@click.option("--author", default="", help="Who made it.")
@click.option("--card", "card_file", type=FILE, help="YAML with all words of the version.")
@click.option("--data", type=FOLDER, help="Prepared data or a dataset; the sample if not given.")
@detector_option
@click.option("--test-suite", type=FOLDER, help="Tests to pass; tests/model_tests if it exists.")
@click.option("--as-stated", is_flag=True, help="Keep the preprocessing though another is better.")
@click.option("--no-trial", is_flag=True, help="Do not try other ways of preprocessing.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--output", "folder", type=FOLDER, help="Folder of the package.")
@click.option("--dry-run", is_flag=True, help="Show all checks and figures, and write nothing.")
@json_option
def import_(**options: Any) -> None:
    """Make a version of a network that others trained.

    The file is checked, its preprocessing tried against others, measured on the
    repository's protocol, held against the gates, packaged and tested; a step that fails
    leaves nothing behind. Exit code 2: the file cannot be used; 4: below a gate; 5: another
    preprocessing is clearly better (--as-stated keeps the stated one), or the licence is
    not allowed.

    \b
    Example:
      facemodels import --onnx w600k.onnx --name recognition-x --version 1.0.0 \\
          --crop arcface112 --colour RGB --mean 127.5 --scale 0.0078431 \\
          --license MIT --source https://example.org/w600k --dry-run
      facemodels import --torch 20180402-114759-vggface2.pt --architecture facenet \\
          --network image_size=160 --drop-unexpected --name recognition-vggface2 \\
          --version 1.0.0 --license MIT
      facemodels import --onnx det_10g.onnx --decode scrfd --size 640 --colour RGB \\
          --mean 127.5 --scale 0.0078125 --name detection-scrfd --version 1.0.0 --license MIT
    """
    from facemodels.importing.steps import require_free

    model = ModelId(
        ModelName.parse(options["name"]), Version.parse(options["version"]), options["variant"]
    )
    if model.name.task == "landmarks":
        raise InputError(
            f"{model.name} cannot be imported.",
            "Give a --name such as recognition-x or detection-x.",
        )
    options["file"] = one_file(options)
    target = options["folder"] or Path(model.folder)
    require_free(target)
    words = card(model, options)
    _require_license(model, words)
    _Import(model, target, words, options).run()


class _Import:
    """One run of the command."""

    def __init__(self, model: ModelId, target: Path, words: Card, options: dict[str, Any]) -> None:
        self.model, self.target, self.words, self.options = model, target, words, options
        self.task = model.name.task
        self.report: dict[str, Any] = {"id": str(model)}
        self.title = "network imported as ONNX"
        self.facts: dict[str, Any] = {}
        self.max_abs_error = 0.0

    def run(self) -> None:
        from facemodels.importing.checks import require

        data, file = self._source()
        self.title = self.options["title"] or self.title
        self.report["file"] = file.record(self.words)
        examined = self._examined(data, file.name)
        self.report["checks"] = [check.as_json() for check in examined.checks]
        self._say(_table([check.row() for check in examined.checks]))
        require(examined.checks, file.name)
        self._measured(examined, file)

    def _examined(self, data: bytes, name: str) -> Examined:
        from facemodels.importing import detector, recogniser

        if self.task == "recognition":
            output_name = self.options["embedding_output"]
            return recogniser.examine(data, name, self._stated(), embedding_output_name=output_name)
        values = dict(pair(text, "--decode-option") for text in self.options["decode_option"])
        picture = self._picture()
        if self.options["decode"] not in detector.DECODES:
            raise InputError(
                f"--decode {self.options['decode']!r} is not known: a detector's outputs are "
                "numbers that somebody must read.",
                f"Use one of {', '.join(detector.DECODES)}.",
            )
        return detector.examine(data, name, picture, self.options["decode"], values)

    def _picture(self) -> PictureInput:
        """How a picture becomes a detector's input, as the options state it."""
        from facemodels.detection.decodes.heads import PictureInput
        from facemodels.params import parse

        self._require_stated("colour", "mean", "scale", "size")
        mean, scale = (numbers(self.options[name], f"--{name}") for name in ("mean", "scale"))
        return parse(
            PictureInput,
            {
                "size": self.options["size"],
                "fill": self.options["fill"],
                "color": self.options["colour"],
                "mean": mean if len(mean) == 3 else mean * 3,
                "scale": scale if len(scale) == 3 else scale * 3,
            },
            "the options",
        )

    def _source(self) -> tuple[bytes, ImportedFile]:
        """The bytes of the graph, and the file that it comes from."""
        from facemodels.importing.steps import ImportedFile

        kind, path = self.options["file"]
        data = _read(path)
        file = _record(kind, path, data, self.options["source"], ImportedFile)
        if kind == "torch":
            data = self._exported(data, path)
        if kind == "keras":
            from facemodels.importing.keras_file import export

            data = export(data, path.name)
        return data, file

    def _exported(self, data: bytes, path: Path) -> bytes:
        """Weights of a known architecture as ONNX; what is not stated is the architecture's."""
        from facemodels.importing.torch_file import export, network_values
        from facemodels.models import architecture
        from facemodels.params import load

        name, task = self.options["architecture"], self.model.name.task
        if not name:
            raise InputError(
                f"{path} holds weights, and the network that they are of is not stated.",
                "Give --architecture, for example facenet; for others export ONNX.",
            )
        params = root_or(Path.cwd()) / "params.yaml"
        known = load(params) if params.is_file() else None
        overrides = dict(pair(text, "--network") for text in self.options["network"])
        found = architecture(task, name).of(network_values(name, known, task, overrides))
        for option, value in stated_by(found.preprocessing()).items():
            self.options[option] = self.options[option] or value
        self.options["decode"] = self.options["decode"] or name
        exported = export(data, path.name, found, drop_unexpected=self.options["drop_unexpected"])
        self.title, self.max_abs_error = found.title, exported.max_abs_error
        self.facts = {
            "architecture": name,
            "network": found.network.model_dump(mode="json"),
            "left_out": list(exported.left_out),
        }
        return exported.graph

    def _measured(self, examined: Examined, file: ImportedFile) -> None:
        from facemodels.imaging import CROPS
        from facemodels.importing.settings import gates_here
        from facemodels.importing.steps import measure
        from facemodels.pipeline.layout import dataset

        source = prepared_or(self.options["data"], self.task)
        tries = not self.options["no_trial"]
        crops = list(CROPS) if tries else [self.options["crop"]]
        found = self.options["detector"]
        model = examined.model(threads=self.options["threads"])
        with dataset(source, self.task, testing=True, crops=crops, detector=found) as data:
            if tries:
                trial = self._tried if self.task == "recognition" else self._tried_pictures
                trial(model, data)
            measured = measure(model, self.task, data, gates_here(self.model.name))
        self.report["gates"] = [vars(row) for row in measured.gates]
        self.report["validation"] = measured.validation.as_json()
        self._say(measured.validation.table())
        self._say(_table([vars(row) for row in measured.gates]) or "No gates.\n")
        self._packaged(examined, file, measured)

    def _tried(self, model: Any, data: Path) -> None:
        """Try the stated preprocessing of a recogniser against others."""
        from facemodels.importing.alternatives import calibration_faces, try_alternatives

        trial = try_alternatives(model, calibration_faces(data))
        self.report["preprocessing"] = [one.as_json() for one in trial.tried]
        self._say(_table(self.report["preprocessing"]))
        words = (
            f"Area under the ROC over all pairs of {trial.faces} faces of {trial.people} people; "
            f"intervals of the difference at {trial.confidence:.1%}.\n"
        )
        self._say(words)
        if trial.hint is not None:
            self._say(
                f"Mirrored faces give {trial.hint.auc:.4f} instead of {trial.hint.stated:.4f}: see "
                "whether left and right are swapped in the data or its points.\n"
            )
        best = trial.best
        if best is not None:
            figures = f"an AUC of {best.auc:.4f}, as stated {best.stated:.4f}"
            options = recogniser_options(best.way.preprocessing)
            self._refuse(best.way.name, figures, (best.low, best.high), options)

    def _tried_pictures(self, model: Any, data: Path) -> None:
        """Likewise of a detector."""
        from facemodels.importing.detector_trial import best, try_pictures

        tried = try_pictures(model, data)
        self.report["preprocessing"] = [one.as_json() for one in tried]
        self._say(_table(self.report["preprocessing"]))
        found = best(tried)
        if found is not None:
            figures = f"an AP of {found.ap:.4f}, as stated {found.stated:.4f}"
            options = detector_options(found.picture)
            self._refuse(found.name, figures, (found.low, found.high), options)

    def _refuse(self, way: str, figures: str, interval: tuple[float, float], options: str) -> None:
        """Stop where another preprocessing is clearly better, unless the stated one is wanted.

        Raises:
            RuleError: it is not.
        """
        if not self.options["as_stated"]:
            raise RuleError(
                f"{self.options['file'][1]} does better with another preprocessing than stated: "
                f"{way} gives {figures} (difference {interval[0]:+.4f} to {interval[1]:+.4f}). "
                "Nothing is packaged.",
                f"State it ({options}), or keep yours with --as-stated.",
            )

    def _packaged(self, examined: Examined, file: ImportedFile, measured: Measured) -> None:
        from facemodels.importing import steps

        facts: dict[str, Any] = {**self.facts, **dict(examined.facts)}
        facts["checks"] = {check.name: check.found for check in examined.checks}
        if "preprocessing" in self.report:
            facts["preprocessing_tried"] = self.report["preprocessing"]
        described = examined.described(self.model.name, self.title)
        content = steps.ImportedContent(
            self.model,
            replace(described, max_abs_error=self.max_abs_error),
            examined.graph,
            self.words,
            file,
            facts,
        )
        suite = self.options["test_suite"] or (steps.SUITE if steps.SUITE.is_dir() else None)
        dry = self.options["dry_run"]
        made = steps.make_package(
            content,
            measured,
            self.target,
            suite=suite,
            keep=not dry,
            then=lambda package: self._reported(content, measured, package),
        )
        self.report |= {
            "path": str(made.folder), "package": made.digest, "dry_run": dry,
            "suite": dict(made.suite),
        }  # fmt: skip
        tests = f" It passes the {len(made.suite)} tests of {suite}." if made.suite else ""
        if dry:
            self._say(f"Would write {made.folder}.{tests} Nothing was written.\n")
        else:
            self._say(f"Wrote {made.folder}.{tests}\n{next_commands(self.model, made.folder)}")
        if self.options["as_json"]:
            output(self.report, "", as_json=True)

    def _reported(self, content: Any, measured: Measured, package: Any) -> None:
        from facemodels.importing.steps import write_reports

        kept = {key: value for key, value in self.report.items() if key != "validation"}
        write_reports(content, measured, package, kept)

    def _stated(self) -> Preprocessing:
        """The preprocessing that the options state; nothing of it has a default.

        Raises:
            InputError: a part is not stated, or there is no such crop.
        """
        from facemodels.imaging import crop_named
        from facemodels.recognition.task import Preprocessing

        self._require_stated("crop", "colour", "mean", "scale")
        crop = crop_named(self.options["crop"])
        mean, scale = (numbers(self.options[name], f"--{name}") for name in ("mean", "scale"))
        return Preprocessing(
            self.options["size"] or crop.size,
            mean=(mean[0], mean[0], mean[0]) if len(mean) == 1 else (mean[0], mean[1], mean[2]),
            scale=scale[0] if len(scale) == 1 else (scale[0], scale[1], scale[2]),
            colour=self.options["colour"],
            crop=crop,
        )

    def _require_stated(self, *names: str) -> None:
        missing = [f"--{name}" for name in names if not self.options[name]]
        if missing:
            raise InputError(
                f"{', '.join(missing)} is not stated, and a guess would cost accuracy without "
                "an error.",
                "Take it from the network's author.",
            )

    def _say(self, text: str) -> None:
        """Print for people at once; a program gets one document at the end."""
        if not self.options["as_json"]:
            click.echo(text)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Give a file.") from error


def _record(
    kind: str, path: Path, data: bytes, source: str, record: type[ImportedFile]
) -> ImportedFile:
    from hashlib import sha256

    return record(kind, path.name, len(data), sha256(data).hexdigest(), source)


def _table(rows: list[dict[str, Any]]) -> str:
    from facemodels.text import markdown

    return markdown(rows) if rows else ""


def _require_license(model: ModelId, words: Card) -> None:
    """Refuse a licence that the repository does not allow, before anything is measured."""
    from facemodels.registry.policy import load

    load(root_or(Path.cwd())).require_license(str(model), words.license)
