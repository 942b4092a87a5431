"""Measurements of the ETL stage, the input pipeline, communication and start-up; not in the wheel."""
