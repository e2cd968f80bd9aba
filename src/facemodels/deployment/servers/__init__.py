"""Runs the model servers of an environment as processes that outlive the controller.

Modules in reading order:

- `process`: starts, adopts and ends one process; finds those whose controller is gone.
- `backoff`: decides when a process that died may be started again.
- `packages`: fetches the package that a server loads.
- `supervisor`: keeps the servers of every version running; `ServerSupervisor.tend` is one step.
"""
