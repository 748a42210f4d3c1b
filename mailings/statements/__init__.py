"""Delivery statements: what became of each message of a mailing that is over, signed.

`merkle` is the tree, `leaves` what it is made of; `making` makes a statement, step by step, and
`proving` hands it out, with the proof of one message. `verify_statement` is a program of its own,
for those who have nothing of ours.
"""
