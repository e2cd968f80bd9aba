"""Galleries: enrolled people in one embedding space, on disk, edited, searched and migrated.

A gallery is a folder `galleries/<name>/` that DVC tracks: a subfolder for each embedding space
with `faces.parquet` and `gallery.json`, and `photos/` where the photos are kept by their digest
([the format](docs/formats/gallery.md)).

Modules in reading order:

- `spaces`: which embedding spaces a gallery has; `SpaceError`
- `rows`: enrolled faces as columns, and which boxes are one face
- `parquet`: rows to a file and back
- `store`: opens a gallery, changes it under a lock, lets DVC track it
- `index`: the people that are most alike, by faiss
- `faces`: the face of a photo that is meant; `FaceError`
- `opened`: a system whose embeddings a gallery holds
- `identify`: who a face is, or unknown
- `enrol`: photos of a person into a gallery, all or none
- `edits`: move, merge, remove, nobody, in every space
"""
