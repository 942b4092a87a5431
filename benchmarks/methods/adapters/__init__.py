"""One adapter a file: each trains the same network on the same images with one method, in whatever environment.

They run as `python -m benchmarks.methods.adapters.NAME TASK OUTCOME` and import nothing of the project but each
other: three of them run in environments of their own, one of them on Python 3.8.
"""
