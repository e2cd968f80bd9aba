"""Training of torch networks: a killed training resumes to the same bytes.

Modules in reading order:

- `initial_weights`: what a training starts from: random weights, a file, pretrained ones.
- `settings`: the hyperparameters that trainings share, with the learning rate schedule.
- `workers`: the processes that share out the pieces of a step.
- `launch`, `process_group`: the same for processes that torchrun, Ray or srun started.
- `flat`, `tree_sum`: many tensors as one row of numbers, and sums in a fixed order.
- `micro_batches`: the gradient of a batch from its micro-batches.
- `heap`: the memory that a step frees is kept for the next.
- `devices`: what a process computes on, and whether it can do what is asked.
- `loop`: `Trainer`, with checkpoints and validation, and `train_to_file`.
- `weights`: state dicts on disk.
- `curves`: loss and validation curves as files for `dvc plots`.
"""
