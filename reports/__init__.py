"""Reports: the letters that tell people what was sent, day by day and at the end of a mailing.

Their numbers come from the ledger, by the functions that REST calls; no room below knows of them.
"""
