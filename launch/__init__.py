"""Everything that starts something: the `hvdcells` command."""
