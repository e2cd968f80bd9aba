"""Galleries: enrolled people in one embedding space, on disk, edited, searched and migrated.

A gallery is a folder `galleries/<name>/` that DVC tracks: a subfolder for each embedding space
with `faces.parquet` and `gallery.json`, and `photos/` where the photos are kept by their digest
(docs/formats/gallery.md).

Modules in reading order:

- `spaces`: which embedding spaces a gallery has; `SpaceError`
- `rows`: enrolled faces as columns, and which boxes are one face
- `parquet`: rows to a file and back
- `work`, `tracking`, `store`: opens a gallery, changes it under a lock, lets DVC track it
- `index`: the people that are most alike, by faiss
- `faces`: the face of a photo that is meant; `FaceError`
- `opened`: a system whose embeddings a gallery holds
- `identify`: who a face is, or unknown
- `enrol`: photos of people into a gallery, all or none
- `edits`: move, merge, remove, nobody, in every space
- `audit`: what a person should look at
- `migrate`: everybody anew for another system
- `table_files`, `exports`, `imports`: CSV, NumPy and folders of photos; age
- `history`: what Git and DVC keep of earlier versions
"""
