"""The tables of settings in docs/ are those of the schemas, and conf/ holds what differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

import settings_tables
from facemodels import params
from facemodels.deployment.settings import Environment
from facemodels.monitoring.settings import Triggers
from facemodels.package.signature import SignaturePolicy
from facemodels.registry.policy import RegistryPolicy
from facemodels.serving.settings import Serving
from facemodels.storage.retention.settings import RetentionSettings

ROOT = settings_tables.ROOT
# conf/rollback_triggers.yaml shows the model guide's five values, which are the defaults.
FILES: dict[str, Any] = {
    "conf/serving.yaml": Serving,
    "conf/registry.yaml": RegistryPolicy,
    "conf/retention.yaml": RetentionSettings,
    "conf/deploy/staging.yaml": Environment,
    "conf/deploy/production.yaml": Environment,
}


@pytest.mark.parametrize(
    "page", settings_tables.pages(), ids=lambda page: str(page.relative_to(ROOT))
)
def test_a_page_shows_the_settings_as_the_schemas_have_them(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert settings_tables.rewritten(text) == text, "run `python tools/settings_tables.py`"


def test_every_settings_schema_has_a_table() -> None:
    shown = {
        name.partition(":")[2]
        for page in settings_tables.pages()
        for name in settings_tables.schemas(page.read_text(encoding="utf-8"))
    }
    roots = [*FILES.values(), Triggers, SignaturePolicy, params.Params]
    needed = {name for root in roots for name in _schemas_within(root)}
    assert needed - shown == {"DatasetParams"}  # the tables of the readers say more


def _schemas_within(root: Any) -> Iterator[str]:
    described = TypeAdapter(root).json_schema()
    yield root.__name__
    yield from (name for name, one in described.get("$defs", {}).items() if "properties" in one)


@pytest.mark.parametrize("file", FILES)
def test_a_file_in_conf_names_only_what_differs_from_the_defaults(file: str) -> None:
    written = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    assert list(_repeated(written, TypeAdapter(FILES[file]).json_schema())) == []


def _repeated(values: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """Keys whose value is the default; an empty mapping only shows where keys belong."""
    definitions = schema.get("$defs", {})
    for key, value in values.items():
        field = schema["properties"][key]
        if value == {}:
            continue
        if "$ref" in field:
            inner = definitions[field["$ref"].rpartition("/")[2]]
            yield from (f"{key}.{one}" for one in _repeated(value, inner | {"$defs": definitions}))
        elif "default" in field and value == field["default"]:
            yield key


class Undescribed(params.Frozen):
    """A schema whose docstring names no key."""

    seconds: int


def test_a_key_without_a_meaning_and_a_schema_that_is_gone_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = "<!-- settings of facemodels.params:{} -->\n<!-- end of settings -->"
    with pytest.raises(LookupError, match=r"facemodels\.params:Gone"):
        settings_tables.rewritten(page.format("Gone"))
    monkeypatch.setattr(params, "Undescribed", Undescribed, raising=False)
    with pytest.raises(LookupError, match=r"no line under Attributes for seconds"):
        settings_tables.rewritten(page.format("Undescribed"))
