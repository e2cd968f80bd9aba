from __future__ import annotations

import pytest
from gto.constants import Action
from gto.tag import parse_name
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples

from facemodels.errors import NameFormatError
from facemodels.names import ModelId, ModelName, Version
from facemodels.registry import tag_names
from facemodels.registry.tag_names import TagName

numbers = st.integers(0, 999_999)
versions = st.builds(Version, numbers, numbers, numbers)
parts = st.from_regex(r"[a-z]([a-z0-9_]{0,38}[a-z0-9])?", fullmatch=True)
models = st.builds(ModelName, st.sampled_from(["detection", "recognition", "landmark"]), parts)
variants = st.one_of(st.just(""), st.from_regex(r"[a-z][a-z0-9]{0,39}", fullmatch=True))
ids = st.builds(ModelId, models, versions, variants)
stages = st.one_of(
    st.sampled_from(["staging", "production", "deprecated"]),
    st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9_-]{0,20}[a-zA-Z0-9])?", fullmatch=True),
)
counters = st.integers(1, 10**20)
ACTS = {
    Action.REGISTER: "register",
    Action.DEREGISTER: "deregister",
    Action.ASSIGN: "assign",
    Action.UNASSIGN: "unassign",
    Action.DEPRECATE: "deprecate-model",
}
semvers = st.from_regex(
    r"(0|[1-9][0-9]{0,9})(\.(0|[1-9][0-9]{0,9})){2}(-[a-zA-Z0-9]{1,4}(\.[a-zA-Z0-9-]{1,4}){0,2})?"
    r"(\+[a-zA-Z0-9-]{1,4})?",
    fullmatch=True,
)
# Texts near the shape of a tag, so that the search finds its edges.
near = st.lists(
    st.sampled_from(
        ["recognition-facenet", "rec-facenet", "detection-x", "landmark-dlib", "facenet", "@", "v", "+b",
         "#", "!", "1", "0", ".", "1.2.3", "-gpu", "-", "production", "staging", "deprecated",
         "created", "_", "A", "/", "\n", " ", "é", "\u0661", "$(id)", ";", "..", "\\", "%00", "#4"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@settings(max_examples=examples(300), derandomize=True)
@given(st.one_of(st.text(max_size=80), near))
def test_any_text_parses_or_is_no_event(text: str) -> None:
    name = tag_names.parse(text)
    if name is not None:
        assert str(ModelName.parse(name.model)) == name.model
        assert not name.version or str(ModelId.parse(name.version)) == name.version


@settings(max_examples=examples(300), derandomize=True)
@given(near)
def test_what_passes_holds_nothing_that_a_shell_or_a_path_would_read(text: str) -> None:
    name = tag_names.parse(text)
    if name is not None:
        allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@#!+")
        assert set(text) <= allowed
        assert ".." not in text
        assert not text.startswith("-")


@given(ids)
def test_the_tag_of_a_registration_parses_back(model: ModelId) -> None:
    assert tag_names.parse(tag_names.register(model)) == TagName(
        "register", str(model.name), str(model)
    )


@given(models, stages, st.lists(counters, max_size=5))
def test_the_tag_of_a_stage_counts_on_over_all_stages(
    model: ModelName, stage: str, others: list[int]
) -> None:
    last = max(others, default=0)
    tag = tag_names.assign(model, stage, last)
    assert tag == f"{model}#{stage}#{last + 1}"
    assert tag_names.parse(tag) == TagName("assign", str(model), stage=stage, counter=last + 1)


@st.composite
def legal(draw: st.DrawFn) -> str:
    """Every form that gto writes, for models of ours."""
    model = draw(ids)
    tag = draw(
        st.sampled_from(
            [
                tag_names.register(model),
                f"{model.name}@v{draw(semvers)}",
                f"{model.name}#{draw(stages)}",
                f"{model.name}@deprecated",
            ]
        )
    )
    cancel = "" if tag.endswith("@deprecated") else draw(st.sampled_from(["", "!"]))
    return tag + cancel + draw(st.one_of(st.just(""), counters.map("#{}".format)))


def test_a_name_that_gto_does_not_know_is_no_tag() -> None:
    with pytest.raises(NameFormatError, match="letter or a digit"):
        tag_names.register(ModelId.parse("det-a_-v1.0.0"))
    assert tag_names.parse("detection-a_@v1.0.0") is None


@settings(max_examples=examples(300), derandomize=True)
@given(st.one_of(legal(), near))
def test_gtos_own_expression_reads_the_same(tag: str) -> None:
    ours, theirs = tag_names.parse(tag), parse_name(tag, raise_on_fail=False)
    if ours is None:
        return
    assert theirs, f"gto does not know {tag}"
    assert ours.model == theirs["name"]
    assert ours.stage == theirs.get("stage", "")
    assert ours.counter == theirs.get("counter", 0)
    if ours.act == "foreign":
        version = theirs.get("version", "none")
        with pytest.raises(NameFormatError):
            ModelId.parse(f"{theirs['name']}@{version}")
        return
    assert ours.act == ACTS[theirs["action"]]
    if "version" in theirs:
        assert ours.version == str(ModelId.parse(f"{theirs['name']}@{theirs['version']}"))


@settings(max_examples=examples(300), derandomize=True)
@given(st.one_of(legal(), near))
def test_every_tag_that_gto_reads_of_our_models_is_an_event(tag: str) -> None:
    theirs = parse_name(tag, raise_on_fail=False)
    if not theirs or "/" in theirs.get("stage", "") or tag.endswith("\n"):
        return
    try:
        ModelName.parse(theirs["name"])
    except NameFormatError:
        assert tag_names.parse(tag) is None
    else:
        assert tag_names.parse(tag) is not None


@pytest.mark.parametrize(
    "rest",
    ["@v1.0.0-rc.1", "@v1.0.0+build", "@v1.0.0-RC1", "@v1000000.0.0!", "@v1.0.0-1#3", "@created"],
)
def test_a_version_that_gto_alone_has_a_name_for_is_foreign(rest: str) -> None:
    name = tag_names.parse(f"recognition-facenet{rest}")
    assert name is not None
    assert (name.act, name.version) == ("foreign", "")


@settings(max_examples=examples(300), derandomize=True)
@given(st.one_of(near, ids.map(str), st.text(max_size=40)))
def test_a_name_from_a_user_holds_nothing_that_a_shell_or_a_path_would_read(text: str) -> None:
    for parse in (Version.parse, ModelName.parse, ModelId.parse):
        try:
            parsed = parse(text)
        except NameFormatError:
            continue
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.@")
        assert text[0].isalnum()
        if isinstance(parsed, ModelId):
            folder = parsed.folder.parts
            assert (folder[0], len(folder), ".." in folder) == ("models", 3, False)


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "v1.0.0",
        "facenet@v1.0.0",
        "rec-facenet@v1.0.0",  # the short name is no artifact of GTO's: it would be an alias
        "recognition-facenet",
        "recognition-facenet@1.0.0",
        "recognition-facenet@v1.0",
        "recognition-facenet@v01.0.0",
        "recognition-facenet@v1.0.0-",
        "recognition-facenet@v1.0.0-01",
        "recognition-facenet@v1.0.0+",
        "recognition-facenet@v1.0.0\n",
        "recognition-facenet@created!",
        "recognition-facenet@deprecated!",
        "recognition-facenet#production#",
        "recognition-facenet#production-",
        "recognition-facenet#-x",
        "recognition-facenet#a/b",
        "recognition-facenet##1",
        "recognition-facenet#production#4#5",
        "Recognition-facenet@v1.0.0",
        "models=recognition-facenet@v1.0.0",
        "recognition-../x@v1.0.0",
        "recognition-facenet@v1.0.0 recognition-facenet@v2.0.0",
        "recognition-f\u0430cenet@v1.0.0",  # a Cyrillic a
        "recognition-facenet@v1.0.\u0661",
    ],
)
def test_what_is_no_event_of_a_model_of_ours(tag: str) -> None:
    assert tag_names.parse(tag) is None
