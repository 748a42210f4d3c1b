"""The doctor: looks at all that an installation needs, and says what is wrong and what to do.

What other parts know is asked there: system checks, heartbeats, sending control, queues.
"""
