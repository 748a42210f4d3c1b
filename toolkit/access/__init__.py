"""Who gets in: what is known of a token beside its digest, and what a new password ends.

What somebody may do once they are in is asked elsewhere (`toolkit.rest.permissions`).
"""
