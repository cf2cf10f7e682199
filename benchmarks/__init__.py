"""Measured claims of Ophion, each a script: `python -m benchmarks` runs the table."""
