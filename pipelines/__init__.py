"""Pipelines: wiring and the loop, nothing else."""
