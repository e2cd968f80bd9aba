"""Runs one environment: compares its desired state with its processes and takes the next step.

Modules in reading order:

- `loop`: the controller; `Controller.tick` lists the steps of one turn.
- `reaction`: decides what follows from a judgement, for example that a canary is rolled back. Pure.
- `pending_rollbacks`: rollbacks that no tag records yet, as files.
- `recording`: changes traffic first and adds the event afterwards.
- `manual_rollback`: what `facemodels rollback` does, with the same order.
- `git_worker`: the thread that fetches and adds events.
- `background`: the threads that scrape, judge and replay probes.
- `http`: the controller's metrics, and the webhook for alerts.
- `alarms`, `status`: what `facemodels status` shows.
- `lock`: lets only one controller run on an environment.
"""
