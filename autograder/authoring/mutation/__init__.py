"""Mutation testing of the hidden graders: small faults in the solutions that nobody wrote a check for."""
