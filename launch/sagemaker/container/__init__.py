"""What runs in a container of SageMaker, by its contract: folders below /opt/ml, exit codes, the file of failures."""
