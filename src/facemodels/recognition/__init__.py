"""Face recognition: unit embeddings of face crops.

Modules in reading order:

- `task`: what every recognition model gives, and how a crop becomes an input.
- `metrics`: verification of a list of pairs: accuracy in k folds, ROC, rates at a threshold.
- `error_rates`: FMR and FNMR over all pairs, identification, differences between groups.
- `batches`: training batches of people by crops, and validation on pairs.
- `losses`: what a network can learn from, with and without weights for each person.
- `distillation`, `compatible`: learning from another model: its embeddings, or its space.
- `learning`: the task that every network of embeddings learns.
- `embedding_architecture`: the common part of architectures that we train.
- `example`: the script in the model card of a package.
- `facenet`: the architecture FaceNet.
- `dlib`: dlib's embedder, whose weights know real faces and are imported.
"""
