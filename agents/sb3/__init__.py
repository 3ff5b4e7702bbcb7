"""Stable-Baselines3 on this package's envs: bridge to native vector envs, networks, hybrid actions, agent."""
