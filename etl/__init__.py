"""The Spark ETL stage: labelled images, wherever they lie, to a dataset that can be trained on."""
