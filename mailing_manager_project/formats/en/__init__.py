"""English, for readers anywhere: days as ISO 8601 has them, hours to 24."""
