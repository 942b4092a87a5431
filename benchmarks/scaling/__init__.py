"""The same experiment on 1, 2, 4, … workers of a Spark master: `python -m benchmarks.scaling`."""
