"""Which split or fold every image goes to. Plain Python on the driver."""
