"""The generator of synthetic demonstration cells."""
