"""The face system: from a photo to its faces, by a detector, a crop and a recogniser.

Modules in reading order:

- `quality`: how large and how sharp a face is
- `choice`: which face is meant where a photo has several
- `calibration`: the threshold that gives a false match rate
- `faces`: a photo to its faces, each with box, points, quality and embedding
- `steps`: the time of each step of a photo
- `task`: a package of members to the system that is served
"""
