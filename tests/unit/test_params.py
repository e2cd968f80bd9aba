from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from facemodels import params
from facemodels.data.datasets import dataset_of
from facemodels.errors import DataError, InputError, ParamsError
from facemodels.models import architecture
from facemodels.names import LEARNED_TASKS
from facemodels.pipeline.compose import compose

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def values() -> dict:
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def _load(tmp_path: Path, values: dict) -> params.Params:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    loaded = params.load(path)
    for task in LEARNED_TASKS:
        dataset_of(loaded.data, task)
    return loaded


def test_conf_composes_to_the_committed_params(tmp_path: Path) -> None:
    compose(ROOT / "conf", tmp_path / "params.yaml", [], dry_run=False)
    assert (tmp_path / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()


def test_a_dry_run_tells_of_a_difference_and_writes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "params.yaml"
    assert compose(ROOT / "conf", target, [], dry_run=True)
    assert not target.exists()


def test_real_data_is_a_matter_of_configuration_alone(tmp_path: Path) -> None:
    overrides = ["data=real", "+experiment=real", "real_root=/somewhere"]
    compose(ROOT / "conf", tmp_path / "params.yaml", overrides, dry_run=False)
    loaded = params.load(tmp_path / "params.yaml")
    assert loaded.data.recognition.source == "/somewhere/lfw"
    assert {model.task for model in loaded.models.values()} == {
        "detection", "recognition", "landmarks",
    }  # fmt: skip


def test_distillation_is_a_matter_of_configuration_alone(tmp_path: Path) -> None:
    overrides = ["data=real", "+experiment=distillation", "real_root=/somewhere"]
    compose(ROOT / "conf", tmp_path / "params.yaml", overrides, dry_run=False)
    loaded = params.load(tmp_path / "params.yaml")
    assert loaded.determinism == "machine"  # bfloat16 is refused otherwise
    model, imitated = (loaded.model(f"recognition-{name}") for name in ("arcface", "dlib"))
    kind = architecture(model.task, model.architecture)
    teacher = kind.of(model.network).teacher(kind.settings(model.train))
    assert str(teacher) == model.teacher == imitated.package


def test_compatible_training_is_a_matter_of_configuration_alone(tmp_path: Path) -> None:
    before = params.load(ROOT / "params.yaml").model("recognition-arcface")
    key = "models.recognition-arcface.train.compatible_with"
    for more, wanted in ([], before.package), ([f"{key}=some/package"], "some/package"):
        overrides = ["+experiment=compatible", *more]
        compose(ROOT / "conf", tmp_path / "params.yaml", overrides, dry_run=False)
        model = params.load(tmp_path / "params.yaml").model("recognition-arcface")
        kind = architecture(model.task, model.architecture)
        kept = kind.of(model.network).compatible_with(kind.settings(model.train))
        assert str(kept) == model.compatible == wanted
        assert model.package != before.package  # the old package is a dep and no output
    assert before.compatible == before.code


def test_a_dataset_that_does_not_fit_its_kind_is_not_composed(tmp_path: Path) -> None:
    target = tmp_path / "params.yaml"
    for override in ("data.detection.reader=coco", "data.landmarks.train=0"):
        with pytest.raises(ParamsError, match=r"data\.(detection|landmarks)"):
            compose(ROOT / "conf", target, [override], dry_run=False)
    assert not target.exists()


def test_every_models_hyperparameters_fit_its_architecture() -> None:
    for model in params.load(ROOT / "params.yaml").models.values():
        kind = architecture(model.task, model.architecture)
        implementation = kind.of(model.network)
        settings = kind.settings(model.train)
        imported = implementation.is_imported(settings)
        assert imported or implementation.units(settings) >= 1
        assert len(implementation.interface().input_shape) == 3


PROFILES = sorted(path.stem for path in (ROOT / "conf/profile").glob("*.yaml"))


def composed(tmp_path: Path, *overrides: str) -> params.Params:
    compose(ROOT / "conf", tmp_path / "params.yaml", list(overrides), dry_run=False)
    return params.load(tmp_path / "params.yaml")


def test_there_are_three_profiles_and_the_laptops_is_the_default(tmp_path: Path) -> None:
    assert PROFILES == ["full", "laptop", "smoke"]
    assert composed(tmp_path, "profile=laptop") == params.load(ROOT / "params.yaml")
    with pytest.raises(ParamsError, match="does not compose"):
        composed(tmp_path, "profile=nonesuch")


@pytest.mark.parametrize(
    ("profile", "data"),
    [
        ("laptop", "sample"), ("laptop", "real"), ("full", "real"), ("full", "sample"),
        ("smoke", "sample"),
    ],
)  # fmt: skip
def test_every_model_of_every_profile_fits_its_architecture(
    tmp_path: Path, profile: str, data: str
) -> None:
    """A profile whose models want another crop than the data has would fail only in train."""
    loaded = composed(tmp_path, f"profile={profile}", f"data={data}")
    crops = dataset_of(loaded.data, "recognition").settings.crops
    for model in loaded.models.values():
        kind = architecture(model.task, model.architecture)
        implementation = kind.of(model.network)
        assert kind.settings(model.training).threads >= 1
        crop = implementation.preprocessing().get("crop", {}).get("name")
        assert crop is None or crop in crops


PUBLISHED = {
    "detection-yolov8": {"image_size": 640, "init": "pretrained", "batch_size": 16},
    "recognition-facenet": {"crop": "facenet160", "image_size": 160, "init": "pretrained", "steps": 0},
    "recognition-arcface": {
        "backbone": "iresnet50", "image_size": 112, "embedding_size": 512, "loss": "arcface",
    },
    "landmark-dlib": {
        "tree_depth": 5, "cascade_depth": 10, "trees_per_cascade": 500, "oversampling": 20, "nu": 0.1,
        "feature_pool_size": 400, "test_splits": 20, "lambda_param": 0.1,
    },
}  # fmt: skip


def test_the_full_profile_has_the_published_recipes_on_real_faces(tmp_path: Path) -> None:
    loaded = composed(tmp_path, "profile=full", "real_root=/somewhere")
    assert loaded.data.recognition.source == "/somewhere/lfw"
    for name, values in PUBLISHED.items():
        model = loaded.model(name)
        found = {**model.network, **model.train}
        assert {key: found[key] for key in values} == values, name
    losses = loaded.model("recognition-arcface").train["losses"]
    assert losses["arcface"] == {"margin_rad": 0.5, "scale": 64}
    facenet = loaded.model("recognition-facenet")
    assert facenet.weights == "data/weights/facenet-vggface2.pt"
    assert loaded.data.landmarks.train == ["afw", "helen/trainset", "lfpw/trainset"]
    assert loaded.data.landmarks.test == ["helen/testset", "lfpw/testset", "ibug"]


def test_the_full_profile_starts_and_says_what_to_bring(tmp_path: Path) -> None:
    loaded = composed(tmp_path, "profile=full", "real_root=/somewhere")
    for task in ("detection", "landmarks", "system"):
        with pytest.raises(DataError, match=r"/somewhere/\w+.* Point to"):
            dataset_of(loaded.data, task).read(workers=1)
    for name, weights in (
        ("detection-yolov8", "yolov8n-coco"), ("recognition-facenet", "facenet-vggface2"),
    ):  # fmt: skip
        model = loaded.model(name)
        kind = architecture(model.task, model.architecture)
        with pytest.raises(InputError, match=f"facemodels weights fetch {weights}"):
            kind.of(model.network).initial_weights(kind.settings(model.training))


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ("scratch", "src/facemodels/recognition/facenet.py"),
        ("pretrained", "data/weights/facenet-vggface2.pt"),
        (f"{{file: my/model.pt, sha256: {'a' * 64}}}", "my/model.pt"),
    ],
)
def test_train_depends_on_the_weights_that_init_names(
    tmp_path: Path, init: str, expected: str
) -> None:
    loaded = composed(tmp_path, f"models.recognition-facenet.train.init={init}")
    assert loaded.model("recognition-facenet").weights == expected


def test_a_model_that_says_nothing_of_init_depends_on_its_code(tmp_path: Path) -> None:
    """`init` has a default in the schema, so a conf file may leave it out."""
    loaded = composed(tmp_path, "~models.landmark-dlib.train.init")
    assert loaded.model("landmark-dlib").weights == "src/facemodels/landmarks/dlib"


def test_a_key_that_conf_refers_to_and_does_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"does not compose: .*weights\.nonesuch.* not found"):
        composed(tmp_path, "models.recognition-facenet.pretrained=${weights.nonesuch}")


def test_weights_of_a_distribution_are_no_file_of_the_repository(tmp_path: Path) -> None:
    loaded = composed(tmp_path, "models.landmark-dlib.train.init=pretrained")
    for name in ("landmark-dlib", "recognition-dlib", "detection-mtcnn"):
        assert loaded.model(name).weights == loaded.model(name).code


def test_params_cannot_be_changed_after_loading(tmp_path: Path, values: dict) -> None:
    loaded = _load(tmp_path, values)
    with pytest.raises(ValueError, match="frozen"):
        loaded.compare.seed = 2


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("benchmark.runs", 0, "benchmark.runs"),
        ("compare.confidence", 1.5, "compare.confidence"),
        ("data.detection.reader", "coco", "detection"),
        ("data.detection.surprise", 1, "data.detection"),
        ("models.landmark-dlib.version", "1.0", "MAJOR"),
        ("models.landmark-dlib.package", "models/x", "belongs in"),
        ("models.landmark-dlib.task", "detection", "landmark-dlib"),
        ("benchmark.surprise", 1, "benchmark.surprise"),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    tmp_path: Path, values: dict, path: str, value: object, word: str
) -> None:
    *parents, last = path.split(".")
    inner = values
    for key in parents:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(InputError) as caught:
        _load(tmp_path, values)
    assert word in str(caught.value)


def test_a_model_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(ParamsError, match="recognition-facenet"):
        params.load(ROOT / "params.yaml").model("recognition-nonesuch")


def test_an_architecture_that_is_not_there_is_answered_with_where_to_write_it() -> None:

    for name in ("nonesuch", "../evil", "metrics", "os"):
        with pytest.raises(InputError, match="src/facemodels/recognition"):
            architecture("recognition", name)
