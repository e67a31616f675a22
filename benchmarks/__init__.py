"""Measurements against what others do, each run side by side; see docs/benchmarks.md."""
