"""How good and how fast models are.

Modules in reading order:

- `evaluation`: `Evaluation`, what measuring a model gives, whatever its task.
- `stamp`: what figures were measured on and how; figures of different stamps stay apart.
- `detection`, `recognition`, `landmarks`: the protocol of each task.
- `protocols`: finds the protocol of a task by its name.
- `gates`: what a model must reach before it is packaged.
- `bootstrap`: confidence intervals, paired for two models.
- `comparison`: two packages side by side.
- `timed_image`: the image that speed is measured with.
- `speed`: latency, throughput and memory; `speed_child` is the process that is measured.
"""
