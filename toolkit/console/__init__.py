"""The console kit: what all pages of the operators' console share.

The pages of a subject are in the `admin` of its app.
"""
