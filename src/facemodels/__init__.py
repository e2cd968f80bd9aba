"""Rebuild, version, release, deploy, monitor and roll back face recognition models.

Packages and modules in reading order; each imports only those before it:

- `errors`, `text`, `files`, `names`, `git`, `progress`, `dvc_files`: tools for all others
- `routes`: the addresses of a server, for the server and for its clients
- `params`: the typed parameters of params.yaml
- `imaging`, `data`: images, and datasets as arrays
- `training`, `runtime`: the training loop, and sessions of ONNX Runtime
- `graph_rewriting`, `quantization`: a graph into a faster one that computes the same, or in int8
- `architecture`, `detection`, `recognition`, `landmarks`, `models`: what an architecture is;
  architectures by task, and by name
- `system`: from a photo to its faces, by models of the other tasks
- `package`, `evaluate`, `pipeline`: the folder of a version, measurements, and the stages
- `gallery`: enrolled people, and who of them a face is
- `importing`: networks that others trained, as versions
- `registry`, `provenance`: versions and statuses as tags, and where a version comes from
- `storage`, `serving`, `monitoring`: remotes, the server of a version, and its verdicts
- `deployment`, `release`: environments, and the release of a version
- `cli`: the command `facemodels`
"""

import os

# ONNX Runtime reports each use to its vendor unless this is set before it is imported, and a face
# server talks to nobody. It stands here so that every process of ours has it, and what it starts.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
