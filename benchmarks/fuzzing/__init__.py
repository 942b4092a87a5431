"""Files changed at random, and given to what reads the files of somebody else."""
