"""An HTTP server for one package. It knows no registry and no other version.

Its addresses are listed in `facemodels.routes`. In reading order:

- `settings`, `metrics`, `log`, `memory`: limits and sizes, Prometheus, the log, glibc's memory.
- `heartbeat`: a sign of life that the server writes by itself.
- `engine`: the package ready to predict, and the batcher that gathers concurrent requests.
- `http`: the connection, the request middleware, access and tokens, errors, OpenAPI.
- `galleries`: the galleries of a system, as they are on disk now.
- `api`: the endpoints of `/api`, which take images.
- `oip`: the endpoints of `/v2`, the Open Inference Protocol, which take tensors.
- `page`: the page at `/`, for people.
- `app`: the ASGI application with all endpoints behind the middleware.
- `doorman`: a process that accepts connections and answers for health.
- `listener`: the socket of a server, and how many connections it can hold.
- `server`: the process: its signals and its end.

Example, which serves until SIGTERM:

    from pathlib import Path
    from facemodels.package.load import open_package
    from facemodels.serving.listener import ListenAddress
    from facemodels.serving.server import serve_package
    from facemodels.serving.settings import load

    package = open_package(Path("tests/golden/dlib-v1.0.0"))
    ended = serve_package(package, load(), ListenAddress(port=0), threads=2)
    print(ended.code)
"""
