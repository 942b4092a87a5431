"""Spark: sessions, free task slots, the preflight of executors, and the back ends that start ranks."""
