"""Benchmarks (make bench): paired runs on one machine, compared by their ratios.

`measures` has the measurements, `environment` the servers and workers that they run on, `scenarios`
what is done there, and `baseline` the design that the product is compared with.
"""
