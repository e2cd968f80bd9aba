"""What the servers count, from two sources with one meaning: our own scrapes, or Prometheus.

reading      one reading of one server, parsed from its /metrics
windows      counts of requests in a window of time: what the verdict takes
scraper      scrapes many servers at once; one that does not answer is missing, never zero
increase     from readings of counters to what was counted between them, for both sources
source       the interface of a source, and what is computed from any: windows, sums, peaks
store        the source of our own scrapes, in SQLite (`encoding`: a reading as bytes;
             `database`: the file and its tables)
prometheus   the source that asks a Prometheus server
measures     quantiles, rates and the cost of what was counted

docs/monitoring.md says what is counted, and what happens when a server or the disk fails.

Example:
    >>> from facemodels.monitoring.metrics.measures import quantile, success_rate
    >>> from facemodels.monitoring.metrics.windows import Tally
    >>> tally = Tally(requests=100, errors=2, bounds=(0.05, 0.1), latency=(49, 49, 0))
    >>> success_rate(tally), quantile(tally, 0.5)
    (0.98, 0.05)
"""
