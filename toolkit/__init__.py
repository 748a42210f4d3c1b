"""What REST and console share, and what knows no mailing, no message and no client.

Two kits, each with a subject (`rest`, `console`), and leaves without models: the clock, time
zones, sending hours, publishing to the broker. What only one room needs belongs to that room.
"""
