"""Amazon EMR: the request for a GPU cluster, its steps, and what follows a cluster that runs."""
