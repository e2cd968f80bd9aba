"""Experiments of DVC that run as jobs: on a cluster of Slurm, or beside the shell that asks.

DVC's own queue is that of one machine. A job here clones a commit, runs `dvc exp run` there, and
pushes the experiment's reference into the repository that asked, whose `dvc exp show` then lists
it. Clone and cache lie on a folder that all nodes see, as submitit needs it anyway.

Modules in reading order:

- `experiment`: what is to be run, and the body of the job.
- `start`: hands it to submitit; a process of its own, which the job outlives.
- `jobs`: submits, lists, reads and cancels.
"""
