"""Measures this software against others. `make bench` runs all benchmarks on real clips and records the results."""
