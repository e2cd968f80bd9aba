"""Landmarks: 68 points of the face in a box.

Modules in reading order:

- `task`: what every landmark model gives, and the steps around a network.
- `metrics`: the normalised mean error and its distribution, by the protocol of 300-W.
- `batches`: training faces with their mirror images.
- `example`: the script in the model card of a package with an ONNX graph.
- `dlib`: the architecture of dlib's regression trees, which has no ONNX form.
"""
