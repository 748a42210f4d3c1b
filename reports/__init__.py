"""Reports: the letters that tell people, day by day, what was sent and what was not.

Their numbers come from the ledger, by the functions that REST calls; no room below knows of them.
"""
