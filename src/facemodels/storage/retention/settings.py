"""How long versions are kept and how they are archived, from conf/retention.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from facemodels.errors import NameFormatError
from facemodels.names import ModelId
from facemodels.params import Frozen, load_yaml, parse

PATH = Path("conf", "retention.yaml")
Days = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Those of S3 that give an object back at once; what has to be thawed first cannot be proven
# before the original is deleted. A lifecycle rule of the bucket may move archives on later.
StorageClass = Literal[
    "", "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"
]


class ArchiveSettings(Frozen):
    """How a version is archived.

    Attributes:
        level: the level of zstandard, 1 (fast) to 22 (small).
        threads: the threads that compress; 0: as many as there are cores. The bytes are the same.
        prefix: the folder of the archives below the remote's URL.
        storage_class: the S3 storage class of archives; empty: the bucket's own.
    """

    level: Annotated[int, Field(ge=1, le=22)] = 10
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    prefix: str = "archive"
    storage_class: StorageClass = ""

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, text: str) -> str:
        parts = text.split("/")
        if not all(parts) or any(part.startswith(".") for part in parts) or "\\" in text:
            raise ValueError("write a relative folder, such as archive or cold/archive")
        if parts[0] == "files":
            raise ValueError("`files` is where DVC keeps its objects")
        return text


class RetentionSettings(Frozen):
    """Which versions are kept.

    Attributes:
        keep_production: the number of versions of each model that are kept because they were in
            production, counted from the last; deprecated ones do not count.
        keep_days: the days for which a version is kept after its registration or restoration.
        grace_days: the days for which a version is kept after its deprecation.
        least_freed: the share of a version's bytes that must become free for it to be archived;
            an archive holds all of them, so that what is shared with kept versions costs room.
        keep: the ids of versions that always stay.
        archive: how the others are archived.
    """

    keep_production: Annotated[int, Field(ge=1)] = 3
    keep_days: Days = 30
    grace_days: Days = 14
    least_freed: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    keep: tuple[str, ...] = ()
    archive: ArchiveSettings = ArchiveSettings()

    @field_validator("keep")
    @classmethod
    def _ids(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(ModelId.parse(one)) for one in ids)
        except NameFormatError as error:
            raise ValueError(error.what) from error


def load(root: Path) -> RetentionSettings:
    """Read the settings of a repository; without a file, the defaults hold.

    Raises:
        ParamsError: the file does not fit its schema.
    """
    path = root / PATH
    if not path.is_file():
        return RetentionSettings()
    return parse(RetentionSettings, load_yaml(path), str(PATH))
