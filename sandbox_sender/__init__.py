"""The sandbox sender: a stand-in for the sender API, with faults on demand.

It speaks the contract of the real service and keeps account of every send, for development,
demos, tests and benchmarks. A request travels from `protocol` (bytes to requests) through
`routes` to `send_endpoint` (contract, faults, accounts, journal); `control` answers the person who
watches. It is a program of its own: nothing here imports Django or any other room, and nothing
of the product imports it but what starts it or reads its journal.
"""
