"""Rebuild, version, release, deploy, monitor and roll back face recognition models.

Packages and modules in reading order; each imports only those before it:

- `errors`, `text`, `files`, `names`, `git`, `progress`, `yaml_text`, `dvc_files`: for all others
- `sealing`: a stage uses what dvc.yaml declares for it, and nothing else
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

# Libraries that report their use to a vendor or ask it for news, unless this is set before they are
# imported. A face server talks to nobody. It stands here so that every process of ours has it, and
# what it starts. DVC's search for updates is off in .dvc/config, Traefik's in its settings.
SILENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "DVC_NO_ANALYTICS": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",  # GTO and DVCLive
    "YOLO_OFFLINE": "true",  # ultralytics: no look-up to learn whether there is a network
    "YOLO_AUTOINSTALL": "false",
    "DO_NOT_TRACK": "1",
}
os.environ |= SILENT

if "FACEMODELS_SEALED" in os.environ:  # a process that a sealed stage started
    from facemodels.sealing.recording import join_run

    join_run()

__version__ = "0.1.0"
