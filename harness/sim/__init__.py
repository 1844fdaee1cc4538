"""Deterministic simulation: virtual time, one thread, seeded."""
