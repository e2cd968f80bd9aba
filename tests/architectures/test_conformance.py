"""What every architecture must do: the repository's own and those of a plugin package.

The plugin lies in `plugin/`, with the metadata that an installed package has. It is on the
path of these tests alone.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from facemodels.architecture.contract import TrainJob
from facemodels.data.sample import generate
from facemodels.data.splits import save_group_names
from facemodels.errors import FacemodelsError, InputError
from facemodels.evaluate import speed
from facemodels.evaluate.measurements import Measurements
from facemodels.files import sha256_tree
from facemodels.models import AnyArchitecture, architecture, architectures, predict
from facemodels.names import ModelId, ModelName, Version
from facemodels.package.load import Package, open_package
from facemodels.params import Card, Compare
from facemodels.pipeline.benchmark import run_suite
from facemodels.pipeline.compare import compare_packages
from facemodels.pipeline.package import package
from facemodels.pipeline.train import train
from facemodels.pipeline.trained import find_trained
from facemodels.pipeline.validate import validate
from facemodels.training.settings import TrainingSettings

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path(__file__).with_name("plugin")
# Applied to conf/model/*.yaml where the key exists.
TINY = {
    "train": {
        "threads": 1, "steps": 2, "warmup_steps": 1, "validate_every": 2, "checkpoint_every": 1,
        "batch_size": 2, "batch_people": 2, "batch_images": 2, "oversampling": 1,
        "test_splits": 5, "mirror": False,
    },
    "network": {"image_size": 96, "cascade_depth": 2, "trees_per_cascade": 5},
}  # fmt: skip
CARD = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="Tiny.", changelog="First.",
    known_issues="Knows nothing.", license="Apache-2.0", training_dataset="sample",
    parent_version="",
)  # fmt: skip
PATHS = {"detection": ["detect"], "recognition": ["embed"], "landmarks": ["landmarks"]}


@contextmanager
def plugin_on_the_path() -> Iterator[None]:
    sys.path.append(str(PLUGIN))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [before, str(PLUGIN)]))
    try:
        yield
    finally:
        sys.path.remove(str(PLUGIN))
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


with plugin_on_the_path():
    CASES = architectures()
OWN = architectures()


@dataclass(frozen=True)
class Case:
    """One architecture, trained and packaged."""

    model: AnyArchitecture
    settings: TrainingSettings
    data: Path
    trained: Path
    validation: dict
    package: Package


def parameters(task: str, name: str) -> tuple[dict, dict]:
    """`network` and `train`: of the conf file, made tiny; the defaults of a plugin."""
    for path in sorted((ROOT / "conf/model").glob("*.yaml")):
        conf = yaml.safe_load(path.read_text())
        if (conf["task"], conf["architecture"]) == (task, name):
            return tuple(
                {key: TINY[part].get(key, value) for key, value in conf[part].items()}
                for part in ("network", "train")
            )
    return {}, {"seed": 1, "threads": 1}


def card_of(trained: Path) -> Card:
    """A card with the licence of the weights that training started from, as package demands."""
    start = json.loads((trained / "training.json").read_text()).get("initial_weights") or {}
    return CARD.model_copy(update={"license": start.get("license", CARD.license)})


@pytest.fixture(scope="module", autouse=True)
def plugin() -> Iterator[None]:
    with plugin_on_the_path():
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny splits of every task."""
    folder = tmp_path_factory.mktemp("prepared")
    for number, split in enumerate(("train", "val", "test")):
        seed = {"seed": 1, "workers": 1}
        generate.detection_split(split, scenes=4, image_size=96, **seed).save(
            folder / "detection" / split
        )
        generate.recognition_split(
            split, identities=6, images_per_identity=2, image_size=64, folds=2 if number else 1,
            pairs_per_fold=4, crops=["arcface112", "dlib150"], **seed,
        ).save(folder / "recognition" / split)  # fmt: skip
        generate.landmark_split(split, faces=8, image_size=80, **seed).save(
            folder / "landmarks" / split
        )
    for task in PATHS:
        save_group_names(folder / task, ("light", "medium", "dark"))
    return folder


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(
    request: pytest.FixtureRequest, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Case:
    task, name = request.param
    folder = tmp_path_factory.mktemp(name)
    kind = architecture(task, name)
    network, settings = parameters(task, name)
    model, parsed = kind.of(network), kind.settings(settings)
    data = prepared / task
    train(
        model, parsed, data=data, output=folder / "trained",
        curves_folder=folder / "curves", checkpoints=folder / "checkpoints",
    )  # fmt: skip
    validated = validate(find_trained(folder / "trained"), data, seed=1, threads=1).as_json()
    prefix = ModelName.parse(f"{task.removesuffix('s')}-{name}").prefix
    identity = ModelId(ModelName(prefix, name), Version(1, 0, 0))
    built = package(
        weights=folder / "trained", model=identity, card=card_of(folder / "trained"),
        validation=validated, output=folder / f"{name}-v1.0.0",
    )  # fmt: skip
    return Case(model, parsed, data, folder / "trained", validated, open_package(built))


def face(size: int = 64) -> np.ndarray:
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    return np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], ramp[::-1, None]), axis=2)


class Killed(Exception):
    """Ends a training as a signal would, in mid-step."""


def test_a_training_that_was_killed_ends_in_the_bytes_of_one_that_ran_through(
    case: Case, tmp_path: Path
) -> None:
    done = []

    def killed(units: int) -> None:
        done.append(units)
        if sum(done) >= case.model.units(case.settings):
            raise Killed

    def job(advance) -> TrainJob:
        return TrainJob(
            data=case.data, output=tmp_path, checkpoint=tmp_path / "checkpoints/checkpoint",
            advance=advance, log=lambda record: None,
        )  # fmt: skip

    with pytest.raises(Killed):
        case.model.train(case.settings, job(killed))
    resumed: list[int] = []
    case.model.train(case.settings, job(resumed.append))
    assert sum(resumed) == case.model.units(case.settings)
    weights = case.model.weights_file
    assert (tmp_path / weights).read_bytes() == (case.trained / weights).read_bytes()


def test_each_runtime_predicts_and_they_agree_with_the_weights(case: Case) -> None:
    assert case.package.runtimes == case.model.runtimes
    loaded = case.model.load(case.trained / case.model.weights_file, threads=1)
    (expected,) = predict(case.model.task, loaded, [face()])
    for runtime in case.package.runtimes:
        (output,) = predict(
            case.model.task, case.package.predictor(runtime, threads=1), [face()]
        )  # fmt: skip
        assert output.dtype == np.float32
        if case.model.task != "detection":  # a box at the score floor may come and go
            np.testing.assert_allclose(output, expected, atol=1e-3)


def test_it_exports_a_graph_if_and_only_if_it_says_so(case: Case, tmp_path: Path) -> None:
    weights = case.trained / case.model.weights_file
    if "onnx" in case.model.runtimes:
        assert (case.package.folder / "model.onnx").is_file()
        assert case.package.metadata["onnx_max_abs_error"] < 0.01
    else:
        assert not (case.package.folder / "model.onnx").exists()
        with pytest.raises(FacemodelsError, match="ONNX"):
            case.model.export(weights, tmp_path / "model.onnx")
    if "graphs" in case.model.runtimes:
        assert len(case.package.graphs) > 1
        assert case.package.metadata["onnx_max_abs_error"] < 0.01
    else:
        assert not case.package.graphs
        with pytest.raises(FacemodelsError, match="several graphs"):
            case.model.export_graphs(weights, tmp_path)


def test_a_package_built_again_has_the_same_bytes(case: Case, tmp_path: Path) -> None:
    again = package(
        weights=case.trained, model=case.package.id, card=card_of(case.trained),
        validation=case.validation,
        output=tmp_path / case.package.folder.name,
    )  # fmt: skip
    assert sha256_tree(again) == sha256_tree(case.package.folder)


def test_what_a_plugin_made_is_measured_in_every_runtime(case: Case) -> None:
    """Those of the repository are measured in the tests of the pipeline."""
    if (case.model.task, case.model.name) in OWN:
        pytest.skip("the stage benchmark measures it")
    measured = speed.measure(
        case.package,
        case.package.runtimes,
        threads=1,
        warmup=0,
        runs=2,
        batch_sizes=[1],
        advance=lambda n: None,
    )
    assert list(measured["runtimes"]) == list(case.model.runtimes)
    assert measured["served"]["p50_ms"] > 0
    assert measured["served"]["file_size_mb"] > 0


def test_it_does_not_differ_from_itself(case: Case) -> None:
    settings = Compare(
        baselines={}, resamples=20, confidence=0.95, seed=1, threads=1, warmup=0, runs=2
    )
    rows = compare_packages(
        case.package, case.package, Measurements(case.data, settings), ["accuracy", "size"]
    )  # fmt: skip
    assert {row.verdict for row in rows} == {"no difference shown"}
    assert len(rows) >= 2


def test_what_a_plugin_made_is_served_over_http(case: Case) -> None:
    """Those of the repository are served in the tests of the server and of its packages."""
    if (case.model.task, case.model.name) in OWN:
        pytest.skip("tests/functional/serving serves those of its kind")
    command = [str(Path(sys.executable).with_name("facemodels")), "serve"]
    process = subprocess.Popen(
        [*command, str(case.package.folder), "--port", "0", "--threads", "1"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=case.trained,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("{") and json.loads(line)["event"] == "ready":
                break
        assert lines, "it ended"
        url = f"http://127.0.0.1:{json.loads(lines[-1])['port']}"
        buffer = io.BytesIO()
        Image.fromarray(face()).save(buffer, "PNG")
        for ability in PATHS[case.model.task]:
            answer = httpx.post(
                f"{url}/api/{ability}", content=buffer.getvalue(),
                headers={"content-type": "image/png"}, timeout=60,
            )  # fmt: skip
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["results"]) == 1
        metrics = httpx.get(f"{url}/metrics", timeout=60).text
        assert "model_inference_duration_seconds_count" in metrics
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_the_suite_passes_what_a_plugin_made(case: Case, tmp_path: Path) -> None:
    """Those of the repository go through it in the tests of the pipeline."""
    if (case.model.task, case.model.name) in OWN:
        pytest.skip("the stage benchmark runs it")
    outcomes = run_suite(case.package, ROOT / "tests/model_tests", tmp_path)
    assert set(outcomes.values()) <= {"passed", "skipped"}


def test_every_model_of_the_configuration_has_an_architecture_and_the_plugin_adds_four() -> None:
    confs = [yaml.safe_load(p.read_text()) for p in (ROOT / "conf/model").glob("*.yaml")]
    assert {(conf["task"], conf["architecture"]) for conf in confs} <= set(OWN)
    assert set(CASES) - set(OWN) == {
        ("detection", "meanbox"), ("recognition", "thumbnail"), ("landmarks", "meanshape"),
        ("landmarks", "pixels"),
    }  # fmt: skip


def test_a_name_that_nothing_has_is_answered_with_those_that_exist() -> None:
    with pytest.raises(InputError, match=r"only arcface, .*facenet, thumbnail"):
        architecture("recognition", "nonesuch")
    with pytest.raises(InputError, match="no task 'gait'"):
        architecture("gait", "nonesuch")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("recognition-broken = facemodels_example.native:Nothing", "does not load"),
        ("recognition-broken = facemodels_example.native:Thumbnail", "no subclass"),
        ("Broken = facemodels_example.native:Thumbnail", "is no architecture"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: str
) -> None:
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[facemodels.architectures]\n{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=words):
        architecture("recognition", "broken")
