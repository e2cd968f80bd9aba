"""Watches the versions that serve: metrics, verdicts, probes, alerts, reports.

settings  the sequential test, the probes and the rollback triggers, as conf/ has them
served    what an environment serves, as plain values; monitoring is given them and
          knows nothing of deployment
metrics   what the servers count, from our own scrapes or from Prometheus
analysis  whether a version is worse than the one beside it: test, triggers, verdict
probes    labelled images, replayed through the live address
alerts    configuration for Prometheus, Alertmanager and Grafana
report    what `facemodels monitor` shows, and the report that it leaves
"""
