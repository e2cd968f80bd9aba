"""The list of the server's addresses: path, method, and the scope that a token needs for it.

This is the only list of addresses. The application adds its endpoints from it. The access check,
the request log, the OpenAPI document and the router of a deployment environment read it. The
module imports nothing heavy, so that the command line, the router and the clients can use it: the
probes and the scraper of `facemodels.monitoring` ask by it.

Open to everyone is the health of the server alone: the probes of an orchestrator carry no token.
`OPENABLE` lists what the settings may open beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal[
    "predict", "info", "metrics", "feedback", "gallery:read", "gallery:write", "admin"
]  # fmt: skip
SCOPES: tuple[Scope, ...] = get_args(Scope)
# The abilities of the models of each task. Every ability is an endpoint under /api.
ABILITIES: Mapping[str, tuple[str, ...]] = {
    "detection": ("detect",),
    "recognition": ("embed", "verify"),
    "landmarks": ("landmarks",),
    "system": ("faces", "verify", "identify"),
}
# Abilities that need another scope than `predict`, as their answers name people.
_SCOPE_OF_ABILITY: Mapping[str, Scope] = {"identify": "gallery:read"}


@dataclass(frozen=True)
class Endpoint:
    """One address of the server.

    Attributes:
        path: the path, with parameters in braces as FastAPI takes them.
        scope: the scope that a token needs; None for an address that is open to everyone.
        method: the HTTP method.
        predicts: whether its requests run the model.
    """

    path: str
    scope: Scope | None
    method: str = "GET"
    predicts: bool = False

    @property
    def versioned(self) -> bool:
        """Whether the path names a version of a model."""
        return "{version}" in self.path


PAGE = Endpoint("/", "info")
OPENAPI = Endpoint("/openapi.json", "info")
# The page of the API and its files; beside `docs` the addresses are relative to the root.
REFERENCE = Endpoint("/docs", "info")
REFERENCE_SCRIPT = Endpoint("/swagger-ui-bundle.js", "info")
REFERENCE_STYLE = Endpoint("/swagger-ui.css", "info")
_REFERENCES = (REFERENCE, REFERENCE_SCRIPT, REFERENCE_STYLE)
METRICS = Endpoint("/metrics", "metrics")
INFO = Endpoint("/api/model/info", "info")
FEEDBACK = Endpoint("/api/feedback", "feedback", "POST")
ABILITY = Endpoint("/api/{ability}", "predict", "POST", predicts=True)
GALLERIES = Endpoint("/api/galleries", "gallery:read")
GALLERY_FACES = Endpoint("/api/galleries/{gallery}/faces", "gallery:write", "POST", predicts=True)
GALLERY_PERSON = Endpoint("/api/galleries/{gallery}/people/{person}", "gallery:write", "DELETE")
OF_SYSTEMS = (GALLERIES, GALLERY_FACES, GALLERY_PERSON)  # no other model has them
SERVER = Endpoint("/v2", "info")
LIVE = Endpoint("/v2/health/live", None)
READY = Endpoint("/v2/health/ready", None)
# The endpoints of the Open Inference Protocol for a model exist with and without a version.
MODEL = Endpoint("/v2/models/{name}", "info")
MODEL_READY = Endpoint("/v2/models/{name}/ready", "info")
MODEL_INFER = Endpoint("/v2/models/{name}/infer", "predict", "POST", predicts=True)
VERSION = Endpoint("/v2/models/{name}/versions/{version}", "info")
VERSION_READY = Endpoint("/v2/models/{name}/versions/{version}/ready", "info")
VERSION_INFER = Endpoint(
    "/v2/models/{name}/versions/{version}/infer", "predict", "POST", predicts=True
)
# Of Triton's extensions.
INDEX = Endpoint("/v2/repository/index", "info", "POST")
ALL_STATISTICS = Endpoint("/v2/models/stats", "info")
MODEL_CONFIG = Endpoint("/v2/models/{name}/config", "info")
MODEL_STATISTICS = Endpoint("/v2/models/{name}/stats", "info")
VERSION_CONFIG = Endpoint("/v2/models/{name}/versions/{version}/config", "info")
VERSION_STATISTICS = Endpoint("/v2/models/{name}/versions/{version}/stats", "info")
ENDPOINTS = (
    PAGE, OPENAPI, *_REFERENCES, METRICS, INFO, FEEDBACK, ABILITY, *OF_SYSTEMS, SERVER, LIVE, READY,
    INDEX, ALL_STATISTICS, MODEL, MODEL_READY, MODEL_INFER, MODEL_CONFIG, MODEL_STATISTICS,
    VERSION, VERSION_READY, VERSION_INFER, VERSION_CONFIG, VERSION_STATISTICS,
)  # fmt: skip


# What the setting `open` may name, and the addresses that it opens.
Openable = Literal["page", "openapi", "info", "metrics"]
OPENABLE: Mapping[Openable, tuple[Endpoint, ...]] = {
    "page": (PAGE, *_REFERENCES), "openapi": (OPENAPI,), "info": (INFO,), "metrics": (METRICS,),
}  # fmt: skip


def ability_path(ability: str) -> str:
    """The path of one ability, for example `/api/embed`."""
    return ABILITY.path.format(ability=ability)


def ability_paths(task: str) -> tuple[str, ...]:
    """The paths of all abilities of a task, for example `("/api/embed", "/api/verify")`."""
    return tuple(ability_path(ability) for ability in ABILITIES[task])


def is_prediction(method: str, path: str) -> bool:
    """Whether a request asks the model for a prediction, even one that the model cannot make."""
    return method == "POST" and path != FEEDBACK.path and _PREDICTION.fullmatch(path) is not None


def needed_scope(method: str, path: str) -> Scope | None:
    """The scope that a token needs for a request; None if the address is open to everyone.

    An address that does not exist needs a token too, so that nobody learns from the answer which
    addresses exist.
    """
    if _CHANGES_GALLERY.fullmatch(path):
        return "gallery:write"
    if is_prediction(method, path):
        return _SCOPES_OF_ABILITIES.get(path, "predict")
    return _SCOPES_BY_PATH.get(path, "info")


def is_ours(path: str) -> bool:
    """Whether a path is an address of the server and its parameters have the form of ours.

    A client can put anything into a path. A path with this form can be written to the log, as
    `without_person` gives it.
    """
    return _OURS.fullmatch(path) is not None


def without_person(path: str) -> str:
    """A path of ours with `{person}` in the place of the person that it names, if it names one."""
    found = _NAMES_PERSON.fullmatch(path)
    return path if found is None else f"{path[: found.start(1)]}{{person}}"


def _pattern(endpoints: Iterable[Endpoint], parameters: Mapping[str, str]) -> re.Pattern[str]:
    """An expression that matches the paths of endpoints.

    Args:
        endpoints: the endpoints to match.
        parameters: by name of a parameter, the expression that its values match.
    """
    templates = (re.split(r"\{(\w+)\}", endpoint.path) for endpoint in endpoints)
    paths = (
        "".join(parameters[part] if at % 2 else re.escape(part) for at, part in enumerate(parts))
        for parts in templates
    )
    return re.compile("|".join(paths))


_ANY = "[^/]+"
_PREDICTION = _pattern(
    (endpoint for endpoint in ENDPOINTS if endpoint.predicts),
    {"ability": "[a-z]+", "name": _ANY, "version": _ANY, "gallery": _ANY},
)
_CHANGES_GALLERY = _pattern(
    (endpoint for endpoint in ENDPOINTS if endpoint.scope == "gallery:write"),
    {"gallery": _ANY, "person": _ANY},
)
_NAMES_PERSON = _pattern((GALLERY_PERSON,), {"gallery": _ANY, "person": f"({_ANY})"})
_OURS = _pattern(
    ENDPOINTS,
    {
        "ability": f"(?:{'|'.join(ability for task in ABILITIES.values() for ability in task)})",
        "name": "[a-z0-9-]+",
        "version": "[0-9.]+",
        "gallery": "[a-z0-9_-]+",
        "person": _ANY,
    },
)
_SCOPES_OF_ABILITIES = {
    ability_path(ability): scope for ability, scope in _SCOPE_OF_ABILITY.items()
}
_SCOPES_BY_PATH = {
    endpoint.path: endpoint.scope for endpoint in ENDPOINTS if "{" not in endpoint.path
}
