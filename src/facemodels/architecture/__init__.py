"""What an architecture is: the class that a new one subclasses.

Modules in reading order:

- `contract`: `Architecture`, with its typed parameters and the methods that the pipeline,
  the packages and the server call; `TrainJob` and `Interface`.
- `torch_architecture`: `TorchArchitecture`, the common part of all architectures that train
  a torch network in our loop and are served as ONNX.

An example of use, with the class that `facemodels.models` finds by name:

    >>> from facemodels.models import architecture
    >>> dlib = architecture("landmarks", "dlib")
    >>> dlib.title
    'dlib shape predictor (ensemble of regression trees)'
    >>> dlib.of({"tree_depth": 4, "cascade_depth": 10, "trees_per_cascade": 100,
    ...          "feature_pool_size": 400, "feature_pool_padding": 0.1}).interface()
    Interface(input_shape=(0, 0, 3), output_shape=(68, 2))
"""
