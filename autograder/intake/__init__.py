"""Untrusted bytes -> Submission: who handed in what, where it lies, what of it is code. Nothing is executed."""
