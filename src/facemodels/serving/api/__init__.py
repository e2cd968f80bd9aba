"""The endpoints of `/api`, which take images and answer JSON.

- `endpoints`: detect, landmarks, embed, verify, and what model answers.
- `images`: from the body of a request to decoded images; `forms` reads multipart forms, and
  `image_cost` finds images that take too long to decode.
- `boxes`: the check of the boxes that a client gives.
- `documents`: what /openapi.json says of these endpoints.
"""
