"""A model of larger clusters: compute, ring-allreduce, their overlap and input, fitted to measured points."""
