"""The triggers file → what Prometheus, Alertmanager and Grafana need, and the way back.

rules        recording and alerting rules
scraping     Prometheus' own configuration, and the list of servers it scrapes
notifying    Alertmanager's configuration, and its webhook's body → alerts
dashboard    Grafana's dashboard: every key metric of the model guide
folder       all of it as files
"""
