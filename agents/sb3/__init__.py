"""Stable-Baselines3 on this package's envs: the bridge to native vector envs, networks, hybrid actions, and an agent."""
