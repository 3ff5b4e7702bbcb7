"""Measurements of speed, as ratios within the same run: of the worlds, and of training."""
