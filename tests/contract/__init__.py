"""The contract with programs that call us: linted, and kept by clients generated from it."""
