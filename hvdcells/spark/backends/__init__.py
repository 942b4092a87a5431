"""Back ends: what runs a rank's entry on N ranks. The experiment does not change with them."""

from hvdcells.spark.backends.base import Backend, RankFailedError, RankLostError
from hvdcells.spark.backends.horovod_on_spark import HorovodOnSpark
from hvdcells.spark.backends.in_process import InProcess

__all__ = ["Backend", "HorovodOnSpark", "InProcess", "RankFailedError", "RankLostError"]
