"""The endpoints of `/api`, which take images and answer JSON.

- `endpoints`: detect, landmarks, embed, verify, and what model answers.
- `system`: what a system answers: faces, verify, identify.
- `gallery_endpoints`: the galleries of a system: which there are, enrol and remove people.
- `images`: from the body of a request to decoded images; `forms` reads multipart forms.
- `boxes`, `points`: the boxes and points that a client gives.
- `documents`, `system_documents`: what /openapi.json says of these endpoints, by `schemas`.
"""
