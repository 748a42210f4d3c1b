"""The sandbox sender: a stand-in for the sender API, with faults on demand.

It speaks the contract of the real service and keeps account of every send, for development,
demos, tests and benchmarks. A request travels from `protocol` (bytes to requests) through
`routes` to `send_endpoint` (contract, faults, accounts, journal); `control` has the inbox
page, counts and the setting of faults. It is a program of its own: nothing here imports
Django or the product, and the product imports it only to start it or to read its journal.
"""
