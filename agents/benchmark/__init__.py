"""Benchmark of algorithms: protocol, runs, statistics and report."""
