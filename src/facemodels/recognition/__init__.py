"""Face recognition: unit embeddings of face crops.

Modules in reading order:

- `task`: what every recognition model gives, and how a crop becomes an input.
- `metrics`: verification of pairs and identification of faces.
- `batches`: training batches of people by crops, and validation on pairs.
- `triplets`: what a training by triplets sees and loses.
- `example`: the script in the model card of a package.
- `facenet`: the architecture FaceNet.
"""
