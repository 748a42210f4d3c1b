"""The engine: delivers the due messages of one mailing, and loses none of them.

`planning` adds the messages, `doorbells` queues the tasks that send them, `pump` is the loop of one
delivery. `claim_queue` holds the messages that the delivery has claimed, `outcomes` decides from an
answer whether and when a message is retried, `bulk` holds the statements. `recovery` and `spool`
settle deliveries that were cut off. Nothing here knows HTTP (see `sender`).
"""
