"""Kinds of datasets, one module each; `KINDS` of a module names what it adds.

- `sample`: the generated faces of `facemodels.data.sample`, for all three tasks
- `voc`, `yolo`, `wider`: detection from Pascal VOC, YOLO and WIDER FACE annotations
- `lfw`, `folders`: recognition from identity folders with LFW's lists, and without lists
- `pts`, `dlib_xml`: landmarks from 300-W's .pts files and from dlib's imglab XML

`facemodels.data.datasets` imports every module of this package, so a new kind needs one
module here and no other change. `facemodels.data.dataset_kind` says what a kind must do.
"""
