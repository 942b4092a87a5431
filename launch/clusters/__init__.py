"""Clusters: what machines there are, what one costs, and the Spark settings that follow from its description."""
