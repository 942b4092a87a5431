"""The preflight in full: everything a run needs, asked of the driver and of every executor before money is spent."""
