"""What a prediction leaves: predictions, subjects and rejects, put together from its parts in the listing's order."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from hvdcells import storage
from hvdcells.inference.parts import KEPT, Listing, part_location
from hvdcells.storage import parquet

if TYPE_CHECKING:
    import pandas as pd

    from hvdcells.scores.decision import Decision

REJECTS_SCHEMA = pa.schema([("path", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True)
class Output:
    """Where a prediction keeps what it makes; local or at an fsspec address."""

    location: str

    def path(self, *parts: str) -> str:
        """Return the location of something in it."""
        return storage.join(self.location, *parts)

    @property
    def asked(self) -> str:
        """What was asked for: run, model, source, listing (JSON); written first."""
        return self.path("prediction.json")

    @property
    def finished(self) -> str:
        """What came of it (JSON); written last."""
        return self.path("finished.json")

    @property
    def predictions(self) -> str:
        """One row an image that could be used (Parquet)."""
        return self.path("predictions.parquet")

    @property
    def subjects(self) -> str:
        """One row a subject, where the source names any (Parquet)."""
        return self.path("subjects.parquet")

    @property
    def rejects(self) -> str:
        """Images that could not be used, with the reason (Parquet)."""
        return self.path("rejects", "rejects.parquet")

    @property
    def listing(self) -> str:
        """The listing of the source; only while it is worked on."""
        return self.path("work", "listing.parquet")

    @property
    def parts(self) -> str:
        """Folder of the parts; only while it is worked on."""
        return self.path("work", "parts")


@dataclass
class Totals:
    """What the images of a prediction came to."""

    num_predicted: int = 0
    num_referred: int = 0
    """Images that a person should look at."""
    num_out_of_range: int = 0
    """Images unlike those that the run was validated on."""
    called: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""

    @property
    def num_rejected(self) -> int:
        """Images that could not be used."""
        return self.rejected.total()


def put_together(output: Output, listing: Listing, decision: "Decision", digest: str) -> Totals:
    """Write predictions, subjects and rejects from all parts; one part is in memory at a time, and a row a subject.

    Args:
        output: whose parts are all there.
        listing: of the source.
        decision: of the run.
        digest: of the model, which stands beside each prediction.

    Raises:
        RuntimeError: an image of the listing has no row, or several.
    """
    totals, of_subjects = Totals(), _Subjects(decision)
    schema = _schema(decision.class_names)
    with (
        storage.new_file(output.predictions) as predictions,
        storage.new_file(output.rejects) as rejects,
        parquet.ParquetWriter(predictions, schema, compression="zstd") as predicted_writer,
        parquet.ParquetWriter(rejects, REJECTS_SCHEMA, compression="zstd") as rejects_writer,
        parquet.open_parts(listing.location) as listed,
    ):
        for number in range(listing.num_parts):
            part = parquet.read_table(part_location(output.parts, number))
            if not part["path"].equals(listed.read_row_group(number, columns=["path"])["path"]):
                raise RuntimeError(f"part {number} of {output.location} does not hold the images of the listing")
            usable = pc.equal(part["reason"], "")
            rejected, predicted = part.filter(pc.invert(usable)), part.filter(usable)
            rejects_writer.write_table(rejected.select(REJECTS_SCHEMA.names))
            predicted = predicted.append_column("model", pa.array([digest] * len(predicted), pa.string()))
            predicted_writer.write_table(predicted.select(schema.names).cast(schema))
            totals.num_predicted += len(predicted)
            totals.called.update(predicted["called"].to_pylist())
            totals.rejected.update(rejected["reason"].to_pylist())
            totals.num_referred += pc.sum(predicted["refer"]).as_py() or 0
            totals.num_out_of_range += pc.sum(predicted["out_of_range"]).as_py() or 0
            of_subjects.add(predicted)
    if totals.num_predicted + totals.num_rejected != listing.num_images:
        raise RuntimeError(
            f"{totals.num_predicted} predictions and {totals.num_rejected} rejects of {listing.num_images} images"
        )
    subjects = of_subjects.table()
    if len(subjects):
        parquet.write_rows(output.subjects, subjects)
    return totals


def _schema(class_names: Sequence[str]) -> pa.Schema:
    return pa.schema(
        [
            *((name, pa.string()) for name in KEPT),
            *((f"logit_{name}", pa.float32()) for name in class_names),
            *((f"probability_{name}", pa.float64()) for name in class_names),
            *((f"calibrated_{name}", pa.float64()) for name in class_names),
            ("called", pa.string()),
            ("decision", pa.string()),
            ("refer", pa.bool_()),
            ("color_range", pa.float64()),
            ("feature_range", pa.float64()),
            ("out_of_range", pa.bool_()),
            ("model", pa.string()),
        ]
    )


class _Subjects:
    """Calibrated probabilities of the images whose subject is known; 8 bytes a class and image."""

    def __init__(self, decision: "Decision") -> None:
        self._decision = decision
        self._columns = [f"calibrated_{name}" for name in decision.class_names]
        self._rows: list[pa.Table] = []

    def add(self, predicted: pa.Table) -> None:
        known = predicted.filter(pc.not_equal(predicted["subject"], ""))
        if len(known):
            self._rows.append(known.select(["subject", *self._columns]))

    def table(self) -> "pd.DataFrame":
        """Return `subject`, `images`, the mean calibrated probability of each class, `value` by the rule, `decision`.

        Where no class counts as ill there is no value, and the likeliest class on the mean is the decision.
        """
        import pandas as pd

        if not self._rows:
            return pd.DataFrame()
        rows, decision = pa.concat_tables(self._rows).to_pandas(), self._decision
        groups = rows.groupby("subject", sort=True)
        table = groups[self._columns].mean().assign(images=groups.size())
        if decision.positive_classes:
            ill = decision.ill(rows[self._columns].to_numpy())
            table["value"] = decision.subject_values(rows["subject"].tolist(), ill)
            calls = decision.words[(table["value"] >= decision.subject_threshold).to_numpy().astype(int)]
        else:
            table["value"] = float("nan")
            calls, _ = decision.decided(table[self._columns].to_numpy())
        table["decision"] = calls
        ordered: pd.DataFrame = table.reset_index()[["subject", "images", *self._columns, "value", "decision"]]
        return ordered


def write_csv(output: Output) -> str:
    """Write the predictions as CSV too, row group by row group; return where."""
    import pyarrow.csv as pa_csv

    location = output.path("predictions.csv")
    with (
        parquet.open_parts(output.predictions) as opened,
        storage.new_file(location) as file,
        pa_csv.CSVWriter(file, opened.schema_arrow) as writer,
    ):
        for number in range(opened.num_row_groups):
            writer.write_table(opened.read_row_group(number))
    return location


def summary(output: Output) -> dict[str, Any]:
    """Return what a finished prediction came to."""
    told: dict[str, Any] = json.loads(storage.read_text(output.finished))
    return told
