"""The record of a submission (`result.json`), and everything that is made from it and from nothing else."""
