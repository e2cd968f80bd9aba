"""The endpoints of `/v2`: the Open Inference Protocol, version 2, which takes tensors.

- `endpoints`: the server, its health, the model's metadata and inference.
- `predictors`: the tensors of a model that has not one graph.
- `tensors`: reads and writes tensors, as JSON and in binary. Pure.
- `long_json`: reads long lists of numbers in pieces. Pure.
- `documents`: what /openapi.json says of these endpoints.

Example:
    import json
    from facemodels.serving.oip import tensors

    images = tensors.TensorSpec("images", "FP32", (-1, 3))
    given = {"name": "images", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
    request = tensors.read(json.dumps({"inputs": [given]}).encode(), None, [images], [])
    assert request.inputs["images"].shape == (1, 3)
"""
