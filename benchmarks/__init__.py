"""Measured speed: paired runs on one machine, ratios inside one run (make bench)."""
