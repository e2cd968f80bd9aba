"""The reference of the API for people: Swagger UI over /openapi.json, served from here.

FastAPI's own page loads its script from another server, which a browser in a closed network cannot
reach and which would see who asks. The package fastapi-offline brings the same files.
"""

from __future__ import annotations

from importlib import resources

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, HTMLResponse

from facemodels.routes import OPENAPI, REFERENCE, REFERENCE_SCRIPT, REFERENCE_STYLE, Endpoint
from facemodels.serving.http.openapi import add_endpoint

_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
# The addresses are relative, so that they hold behind a prefix; the token is the page's.
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API description</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{REFERENCE_STYLE.path[1:]}">
</head>
<body>
<div id="reference"></div>
<script src="{REFERENCE_SCRIPT.path[1:]}"></script>
<script>
"use strict";
SwaggerUIBundle({{
  url: "{OPENAPI.path[1:]}",
  dom_id: "#reference",
  validatorUrl: null,  // it would send the description to another server
  deepLinking: true,
  requestInterceptor: (request) => {{
    let token = null;
    try {{ token = sessionStorage.getItem("facemodels.token"); }} catch {{ /* storage is off */ }}
    if (token && !request.headers.authorization && !request.headers.Authorization) {{
      request.headers.authorization = `Bearer ${{token}}`;
    }}
    return request;
  }},
}});
</script>
</body>
</html>
"""


def add_reference(app: FastAPI) -> None:
    """Add the page and its two files to an application."""

    async def reference() -> Response:
        return HTMLResponse(_PAGE, headers={"content-security-policy": _POLICY})

    async def script() -> Response:
        return _file(REFERENCE_SCRIPT, "text/javascript")

    async def style() -> Response:
        return _file(REFERENCE_STYLE, "text/css")

    for endpoint, function in (
        (REFERENCE, reference), (REFERENCE_SCRIPT, script), (REFERENCE_STYLE, style),
    ):  # fmt: skip
        add_endpoint(app, endpoint, function, {"include_in_schema": False})


def _file(endpoint: Endpoint, kind: str) -> Response:
    name = endpoint.path.rpartition("/")[2]
    path = resources.files("fastapi_offline") / "static" / name
    return FileResponse(str(path), media_type=kind)
