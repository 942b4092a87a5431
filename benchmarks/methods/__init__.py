"""The methods of deep learning on Spark side by side: `python -m benchmarks.methods`; see docs/methods.md."""
