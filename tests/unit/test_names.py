from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.errors import NameFormatError
from facemodels.names import ModelId, ModelName, Version

numbers = st.integers(0, 999_999)
versions = st.builds(Version, numbers, numbers, numbers)
words = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True)
names = st.builds(ModelName, st.sampled_from(["detection", "recognition", "landmark"]), words)
variants = st.from_regex(r"[a-z][a-z0-9]{0,39}", fullmatch=True)
ids = st.builds(ModelId, names, versions, st.one_of(st.just(""), variants))


@given(versions)
def test_a_version_parses_back_to_itself(version: Version) -> None:
    assert Version.parse(str(version)) == version
    assert Version.parse(f"v{version}") == version


@given(versions, versions)
def test_versions_order_as_numbers_not_as_text(one: Version, other: Version) -> None:
    key = (one.major, one.minor, one.patch) < (other.major, other.minor, other.patch)
    assert (one < other) == key


@given(ids)
def test_all_spellings_of_an_id_are_the_same_id(model: ModelId) -> None:
    variant = f"-{model.variant}" if model.variant else ""
    assert ModelId.parse(str(model)) == model
    assert ModelId.parse(f"{model.name}-v{model.version}{variant}") == model
    assert ModelId.parse(f"{model.name}@v{model.version}{variant}") == model
    assert ModelId.parse(f"{model.name}@{model.version}{variant}") == model


def test_a_variant_is_a_pre_release_of_semver_which_has_no_underscore() -> None:
    with pytest.raises(NameFormatError, match="variant"):
        ModelId(ModelName("landmark", "dlib"), Version(1, 2, 0), "gpu_large")
    with pytest.raises(NameFormatError):
        ModelId.parse("landmark-dlib-v1.2.0-gpu_large")


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("rec-facenet-v2.1.3", "models/recognition/facenet-v2.1.3"),
        ("detection-yolov8-v1.0.0", "models/detection/yolov8-v1.0.0"),
        ("landmark-dlib-v1.2.0-gpu", "models/landmarks/dlib-v1.2.0-gpu"),
        ("recognition-facenet@v2.1.3", "models/recognition/facenet-v2.1.3"),
    ],
)
def test_the_guides_names_find_their_folder(text: str, folder: str) -> None:
    assert str(ModelId.parse(text).folder) == folder


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused_with_a_remedy(text: str) -> None:
    remedies = []
    for parse in (Version.parse, ModelName.parse, ModelId.parse):
        try:
            parsed = parse(text)
        except NameFormatError as error:
            remedies.append(error.remedy)
        else:
            assert parse(str(parsed)) == parsed
    assert all(remedies)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2",
        "1.2.3.4",
        "01.2.3",
        "1.2.3-rc1",
        "1.2.x",
        "-1.2.3",
        "1.2.3\n",
        "\uff11.2.3",
        "9" * 99,
    ],
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(NameFormatError, match="is not a version"):
        Version.parse(text)


@pytest.mark.parametrize(
    "text", ["facenet", "recognition-", "recognition-../x", "Recognition-facenet", "rec-facenet"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(NameFormatError):
        ModelName.parse(text)
