"""Measurements (``python -m benchmarks``) and checks that are no tests."""
