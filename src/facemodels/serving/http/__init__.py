"""What happens to every HTTP request, whatever its endpoint.

In the order of a request:

- `connection`: uvicorn's connection with limits of the head and of waiting.
- `middleware`: the request's id, access, limits, deadline, log and metrics.
- `admission`: which predictions are worked on, which wait, and which are refused for load.
- `departures`: clients that leave before they have their answer.
- `exchange`: the body that arrives and the response that leaves.
- `access`, `tokens`: which tokens exist, and whether a request may be answered.
- `errors`: the error that ends a request.
- `bodies`: the body, its media type, and JSON as an answer.
- `openapi`: what the documents of all endpoints share, and how an endpoint is added.
- `readiness`: whether the server is ready.
"""
