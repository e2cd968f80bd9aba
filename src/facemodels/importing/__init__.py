"""Models that others made, as versions of this repository: `facemodels import`.

Modules in reading order:

- `checks`: a check with its name, what was found and what to do
- `onnx_file`: bytes to a graph, and the checks that need no run
- `canonical`: the graph in the form that packages are served in
- `behaviour`: checks that run the graph
- `alternatives`: the stated preprocessing beside others, on faces with known identities
- `recogniser`: all of that for a recogniser
- `detector`: likewise for a detector, with one of the decodes of `detection.decodes`
- `detector_trial`: the stated preprocessing of a detector beside others, on scenes
- `torch_file`, `safetensors`: weights of a known architecture to ONNX
- `keras_file`: a Keras file to ONNX, with the extra `facemodels[keras]`
- `architecture`: what stands for the architecture of a graph
- `settings`: the gates, from conf/import.yaml
- `steps`: validate, gate, package, test

docs/import.md is the user's page.
"""
