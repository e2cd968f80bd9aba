"""What all schemas of settings share, and how YAML becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facemodels.errors import ParamsError
from facemodels.files import refuse_folder
from facemodels.yaml_text import loader

Share = Annotated[float, Field(ge=0, lt=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # SHA-256
Count = Annotated[int, Field(ge=1)]


class Frozen(BaseModel):
    """Base of all schemas of settings: unknown keys are errors, and values cannot be changed.

    A default must fit as what is written in conf must.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Schema = TypeVar("Schema", bound=BaseModel)


def parse(schema: type[Schema], values: Mapping[str, Any], where: str) -> Schema:
    """Check plain values against a schema.

    Args:
        schema: the schema.
        values: keys and values, as a YAML file has them.
        where: name of the file or section for the message.

    Raises:
        ParamsError: some keys do not fit; the message names each of them.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in issue['loc']) or '(top)'}: {issue['msg']}"
            for issue in error.errors(include_url=False)
        ]
        raise ParamsError(f"{where} does not fit: {'; '.join(lines)}.") from error


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ParamsError: the file is missing, cannot be read, or holds no mapping.
        InputError: `path` is a folder.
    """
    refuse_folder(path, "Give a YAML file.")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=loader())  # noqa: S506  (safe)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParamsError(f"{path} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise ParamsError(f"{path} holds no mapping of keys to values.")
    return values
