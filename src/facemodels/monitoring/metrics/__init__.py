"""What the servers counted, from two sources with one meaning: our own scrapes, or Prometheus.

reading      what one server told at one time; parsed from /metrics
scraper      many servers at once; one that does not answer is missing, never zero
increase     counters → what happened between two looks (pure; the same for both sources)
source       what a source has to give, and what is asked of it: windows, tallies, peaks
store        the samples of our own scrapes, in SQLite
prometheus   the samples of a Prometheus server
measures     quantiles, rates and cost of a tally (pure)
"""
