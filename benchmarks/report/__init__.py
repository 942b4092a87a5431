"""Plots and a page of what `benchmarks/results` holds: `python -m benchmarks.report`."""
