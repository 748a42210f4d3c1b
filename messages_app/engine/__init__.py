"""The engine: delivers the due messages of one mailing, and loses none of them.

`pump` is the loop; `claim_queue` says which messages are next, `outcomes` what an answer means for
a message and when it is tried again, `bulk` holds the statements, `recovery` and `spool` take care
of deliveries that did not come back. Nothing here knows HTTP (see `sender`).
"""
