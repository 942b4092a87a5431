"""A finished run in use: images without labels in, probabilities out. On this machine, or from tasks of Spark."""
