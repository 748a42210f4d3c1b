"""The sandbox sender: a stand-in for the sender API, with faults on demand.

It speaks the contract of the real service and keeps account of every send, for development,
demos, tests and benchmarks. A request travels from http (bytes to requests) through routes to
sends (contract, faults, accounts, journal); control answers the person who watches. Nothing
here imports Django, so that it starts fast.
"""
