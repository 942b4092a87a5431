from hvdcells.spark import local_slots, spark_session, use_bundled_java  # noqa: F401
