"""How good and how fast models are.

Modules in reading order:

- `evaluation`: `Evaluation`, what measuring a model gives, whatever its task.
- `stamp`: what figures were measured on and how; figures of different stamps stay apart.
- `detection`, `recognition`, `landmarks`, `system`: the protocol of each task.
- `wider`: AP by the protocol of WIDER FACE, of its levels or by the height of a face.
- `protocols`: finds the protocol of a task by its name.
- `gates`: what a model must reach before it is packaged.
- `bootstrap`: confidence intervals, paired for two models.
- `measurements`: what was measured of packages, each figure once.
- `comparison`: two packages side by side.
- `timed_image`: the image that speed is measured with.
- `speed`: latency, throughput and memory; `speed_child` is the process that is measured.
"""
