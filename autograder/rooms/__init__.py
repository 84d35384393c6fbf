"""Warm processes: a room grades one submission after another, a pool keeps several, a batch grades a class."""
