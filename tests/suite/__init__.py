"""How the suite runs: which tests are fast, who shares a worker and comes first, and that nothing is left behind."""
