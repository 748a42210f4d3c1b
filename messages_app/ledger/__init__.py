"""The ledger: every change of messages' states is posted here, and counts are read from here.

Whoever changes the state of messages calls `posting.post` in the same transaction. `folding` puts
postings into the order of commits and sums them up; `balances` reads counts; `changes` hands the
postings out; `timeline` tells how many there were when; `reconciling` compares with the messages
(docs/adr/0014-ledger.md).
"""
