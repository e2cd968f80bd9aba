"""Configuration for Prometheus, Alertmanager and Grafana, from the rollback triggers.

rules         the recording and alerting rules
prometheus    Prometheus' own configuration, and the list of servers that it scrapes
alertmanager  Alertmanager's configuration, and the reader of the alerts that it sends
dashboard     Grafana's dashboard with every key metric of the model guide
files         writes all of it into a folder

Example:
    >>> from facemodels.monitoring.alerts.rules import alerts
    >>> from facemodels.monitoring.settings import Triggers
    >>> alerts(Triggers(memory_threshold_mb=1500), window_s=60.0)[2].expr
    'model:memory_bytes:max > 1500000000'
"""
