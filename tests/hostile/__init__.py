"""Hostile trial: attacks glimpse_gym at random for as long as one likes. See docs/robustness.md."""
