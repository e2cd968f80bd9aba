"""A package that is ready to predict, behind all endpoints of the server.

Modules in reading order:

- `inference`: `Engine`, the loaded package with its predictor and its threads.
- `budget`: `MemoryBudget`, the memory for decoded pictures of all requests.
- `batcher`: `Batcher`, which runs concurrent requests to an ONNX graph together.
- `warm_up`: the first runs of a model, and whether batching pays for it.
- `observed`: `ObservedPredictor`, the metrics of a model that has no graph.
"""
