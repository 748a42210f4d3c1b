"""What all REST endpoints share; named in settings.py, imported by nobody."""
