"""A run's model as a Spark ML Transformer: probabilities beside the rows of a DataFrame that holds images."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql.types import BooleanType, DoubleType, FloatType, StringType, StructType

from hvdcells.errors import UserError
from hvdcells.inference.classifier import model_digest, output_columns
from hvdcells.inference.spark_task import worker_classifier
from hvdcells.runs.directory import RunDirectory, checked_views
from hvdcells.runs.preparation import read_preparation

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTENT, PATH = "content", "path"
MOST_RECORDS = 64
"""Rows that Spark sends at once to a task whose rows hold files: its own 10,000 would be gigabytes, more than an Arrow
column of bytes addresses."""
_KINDS = {
    "called": StringType(),
    "decision": StringType(),
    "refer": BooleanType(),
    "out_of_range": BooleanType(),
    "reason": StringType(),
}
_RECORDS_SETTING = "spark.sql.execution.arrow.maxRecordsPerBatch"


class CellTransformer(Transformer, DefaultParamsReadable["CellTransformer"], DefaultParamsWritable):
    """Adds `logit_…` and `probability_…` by class, `called` and `reason` to each row.

    Takes the bytes in the column `content` (Spark's `binaryFile`) where there is one, else the files that `path` names.
    Executors must reach the run, and the files. A row whose image cannot be used has its reason, NaN and no call.
    """

    run: Param[str] = Param(Params._dummy(), "run", "location of a finished run", TypeConverters.toString)  # noqa: SLF001

    tta: Param[int] = Param(Params._dummy(), "tta", "8 averages over flips and turns", TypeConverters.toInt)  # noqa: SLF001

    trusted_code: tuple[str, ...] = ()
    """Modules of which the run's own description may name a function."""

    @keyword_only
    def __init__(self, *, run: str | None = None, tta: int = 1) -> None:
        super().__init__()
        self._setDefault(tta=1)
        self._set(tta=tta)
        if run is not None:
            self._set(run=run)

    def _transform(self, df: "DataFrame") -> "DataFrame":
        directory = RunDirectory.at(self.getOrDefault(self.run)).trusting(self.trusted_code)
        read_preparation(directory)
        names = tuple(directory.read_json(directory.run)["dataset"]["class_names"])
        taken = next((name for name in (CONTENT, PATH) if name in df.columns), None)
        added = output_columns(names)
        _refuse_columns(df.columns, taken, added)
        schema = StructType(list(df.schema.fields))
        for name in added:
            of_class = FloatType() if name.startswith("logit_") else DoubleType()
            schema = schema.add(name, _KINDS.get(name, of_class))
        setting = df.sparkSession.conf
        if taken == CONTENT and int(setting.get(_RECORDS_SETTING) or 0) > MOST_RECORDS:
            setting.set(_RECORDS_SETTING, str(MOST_RECORDS))
        num_views = checked_views(self.getOrDefault(self.tta))
        predicting = _predicting(directory, model_digest(directory), num_views, taken or PATH)
        return df.mapInArrow(predicting, schema)


def _predicting(run: RunDirectory, digest: str, num_views: int, taken: str) -> Any:
    def predict(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        classifier = worker_classifier(run, digest, num_views)
        for rows in batches:
            values = rows.column(rows.schema.get_field_index(taken)).to_pylist()
            made = classifier.predict(["" if value is None else _image(value) for value in values])
            arrays = [pa.array(made[name].to_numpy()) for name in classifier.column_names]
            yield pa.RecordBatch.from_arrays([*rows.columns, *arrays], [*rows.schema.names, *classifier.column_names])

    return predict


def _image(value: bytes | str) -> bytes | str:
    # `binaryFile` writes file:/… for local files.
    return value if isinstance(value, bytes) else value.removeprefix("file:").replace("///", "/", 1)


def _refuse_columns(columns: list[str], taken: str | None, added: tuple[str, ...]) -> None:
    doubled = sorted(set(columns) & set(added))
    if taken is None or doubled:
        raise UserError(
            f"a DataFrame with the columns {', '.join(columns)}",
            f"one of {CONTENT} and {PATH}, and none of those that are added"
            + f" ({', '.join(doubled)})" * bool(doubled),
            "rename columns, or read images with spark.read.format('binaryFile').load(...)",
        )
