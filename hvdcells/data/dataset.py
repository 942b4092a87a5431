"""A finished dataset: its location and its manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hvdcells import storage
from hvdcells.data.columns import TEXT_COLUMNS
from hvdcells.data.folds import with_validation_fold
from hvdcells.data.manifest import MANIFEST_NAME, Manifest, SplitSummary
from hvdcells.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

FOLDS_HINT = "; it has folds: `hvdcells cross-validate` takes each in turn, `--set data.validation_fold=0` one of them"


class RowGroupPlace(NamedTuple):
    """A row group of a split: where it is, and which of its images are used."""

    path: str
    """Of the Parquet file, below the dataset."""
    number: int
    """In its file."""
    first_row: int
    """Number of its first image in the split."""
    num_rows: int
    """Images that are used."""
    chosen: "npt.NDArray[np.int64] | None"
    """Their places in the row group; None for all of them."""
    checksum: str
    """Of all its images and labels; empty in a dataset of an earlier version."""


@dataclass(frozen=True)
class Dataset:
    """A dataset written by the ETL stage, on disk or in S3. Make one with `Dataset.open`."""

    location: str
    manifest: Manifest
    validation_fold: int | None = None
    """The fold that the manifest shows as validation split, the other folds being the training split."""
    chosen_images: "Mapping[str, npt.NDArray[np.bool_]]" = field(default_factory=dict, compare=False)
    """By split, booleans that name the images in use, in the order of the files; a split that is whole has none.
    `training_share` draws them; the counts of the manifest are then theirs."""

    @classmethod
    def open(cls, location: storage.Location, validation_fold: int | None = None) -> "Dataset":
        """Open a dataset by its manifest.

        Args:
            location: a folder or an fsspec address.
            validation_fold: see the dataset by this fold; see `folds.with_validation_fold`.

        Raises:
            UserError: nothing is there, or no manifest (a half-written dataset), or one of another version, or there
                is no such fold.
        """
        location = storage.absolute(location)
        manifest_location = storage.join(location, MANIFEST_NAME)
        try:
            text = storage.read_text(manifest_location)
        except (FileNotFoundError, NotADirectoryError):
            found = "a folder without manifest.json" if storage.exists(location) else "nothing"
            raise UserError(
                f"{location} is no finished dataset: {found} is there",
                "a dataset written by `hvdcells etl`, whose manifest.json is written last",
                f"run `hvdcells etl SOURCE {location}`; a run that was interrupted is completed by the same command",
            ) from None
        manifest = Manifest.from_json(text, manifest_location)
        if validation_fold is not None:
            manifest = with_validation_fold(manifest, validation_fold, location)
        return cls(location, manifest, validation_fold)

    def split(self, name: str) -> SplitSummary:
        """Return the summary of one split.

        Raises:
            UserError: the dataset has no images in that split.
        """
        splits = self.manifest.splits
        if name not in splits or splits[name].images == 0:
            available = ", ".join(f"{key} ({value.images} images)" for key, value in splits.items() if value.images)
            raise UserError(
                f"the dataset {self.location} has no images in the split {name!r}",
                f"one of: {available}",
                "name one of these splits, or write the dataset again with images for that one"
                + FOLDS_HINT * bool(self.manifest.folds and name == "validation"),
            )
        return splits[name]

    def rows_per_row_group(self, split: str) -> list[int]:
        """Return the images of every row group of `row_groups`.

        Raises:
            UserError: the dataset has no images in that split.
        """
        return [place.num_rows for place in self.row_groups(split)]

    def row_groups(self, split: str) -> list[RowGroupPlace]:
        """Return the row groups of a split of which images are used, in the order of the manifest.

        Raises:
            UserError: the dataset has no images in that split.
        """
        all_chosen, places = self.chosen_images.get(split), []
        passed = first_row = 0
        for file in self.split(split).files:
            for number, num_rows in enumerate(file.rows_per_row_group):
                chosen = None if all_chosen is None else all_chosen[passed : passed + num_rows].nonzero()[0]
                passed += num_rows
                num_used = num_rows if chosen is None else len(chosen)
                if num_used:
                    checksum = file.row_group_checksums[number] if file.row_group_checksums else ""
                    places.append(RowGroupPlace(file.path, number, first_row, num_used, chosen, checksum))
                    first_row += num_used
        return places

    def read_rows(self, split: str, columns: Sequence[str]) -> "pd.DataFrame":
        """Read columns other than `image` of a split, in the order of the manifest.

        Raises:
            UserError: the dataset has no images in that split, or its files are not those of the manifest.
        """
        import pandas as pd

        from hvdcells.data.parquet import open_parquet, read_texts

        frames = []
        for file in self.split(split).files:
            texts = [name for name in columns if name in TEXT_COLUMNS]
            opened = open_parquet(self.location, file, texts)
            frames.append(read_texts(opened, columns, storage.join(self.location, file.path), file.column_checksums))
            opened.close(force=True)
        rows: pd.DataFrame = pd.concat(frames, ignore_index=True)
        if split in self.chosen_images:
            rows = rows[self.chosen_images[split]].reset_index(drop=True)
        return rows
