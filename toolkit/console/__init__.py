"""The console kit: one look and one way to refuse, for every page of the operators' console.

Pages of a subject live in the `admin` of its room.
"""
