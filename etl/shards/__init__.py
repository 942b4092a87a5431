"""The restartable unit of work: decode, write, count, update."""
