"""Brokers as child processes, for the benchmarks and the compatibility tests."""
