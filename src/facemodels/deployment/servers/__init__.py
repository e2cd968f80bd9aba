"""Runs the model servers of an environment as processes that outlive the controller.

Modules in reading order:

- `process`: starts, adopts and ends one process; finds those whose controller is gone.
- `backoff`: decides when a process that died may be started again.
- `death`: says in words how a process ended.
- `replica`: one server of a version, and what is known of how it is.
- `packages`: fetches the package that a server loads.
- `supervisor`: keeps the servers of every version running; `ServerSupervisor.tend` is one step.
"""
