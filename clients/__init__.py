"""Who can be reached: clients, the audience that filters select, and their import from files."""
