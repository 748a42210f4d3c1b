"""Every message of every mailing, and the engine that delivers them to the sender.

What it needs to know of a mailing it is told (mailing_snapshot); it never looks one up.
"""
