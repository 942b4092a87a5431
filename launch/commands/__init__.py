"""The sub-commands of `hvdcells`, one a file."""
