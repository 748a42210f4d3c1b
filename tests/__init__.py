"""Flows, faults and the browser: the whole program, as its users run it."""
