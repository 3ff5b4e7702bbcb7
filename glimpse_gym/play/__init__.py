"""Episodes of people and agents: play, recordings, replay and export. Importing this package loads no torch."""
