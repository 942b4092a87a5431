"""The campaign of faults: see `python -m benchmarks.faults --help`."""
