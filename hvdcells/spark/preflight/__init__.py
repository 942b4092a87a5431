"""Whether Spark's executors can run ranks: asked of them before a run is begun. `hvdcells doctor` asks for more."""
