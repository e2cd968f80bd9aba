"""A package: the folder that holds one version of a model.

Modules in reading order:

- `verify`: compares a folder with its checksums, before anything in it is parsed.
- `load`: `open_package`, and `Package` with its predictor.
- `build`: writes a package from weights; `card` and `requirements` write two of its files.
- `native_example`: the script in the model card of an architecture without an ONNX form.
- `signature` and `signing`: check and make the signature beside the folder.

An example of use:

    package = open_package(Path("models/landmarks/dlib-v1.0.0"))
    points = package.predictor().fit([image], boxes)
"""
