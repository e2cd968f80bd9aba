"""The steps from a dataset to compared packages; each is called by a stage and by a command.

Modules in the order of the pipeline:

- `compose`: conf/ to params.yaml
- `prepare`: a dataset to arrays; `layout` does it for a path that conf/ does not describe
- `face_finder`: the detector that finds the faces which prepare cuts out
- `train`: arrays to weights
- `validate`: weights beside their untrained baseline, against the gates
- `trained`: the folder in which train leaves its weights, for the steps after it
- `package`: weights to the folder of a version
- `benchmark`: the suite that a package must pass, and its speed
- `compare`: candidates side by side
"""
