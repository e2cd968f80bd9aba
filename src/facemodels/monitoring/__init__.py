"""Watch the versions that serve: metrics, probes, verdicts, alerts, reports."""
