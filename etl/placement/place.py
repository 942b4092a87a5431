"""Where every image goes: its split, fold and leakage group, or that it is left out. Plain Python on the driver."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from etl.source.rows import ImageRow, Kind
from hvdcells.data.columns import NO_FOLD, SPLITS


class Place(NamedTuple):
    """Where an image goes."""

    split: str
    fold: int
    group: str
    dropped: str
    """Why it is left out of the dataset; empty if it is not."""


@dataclass(frozen=True)
class Placement:
    """Where every image goes. Two that are equal put every image in the same place."""

    strategy: str
    group_of: Mapping[str, str]
    """Leakage group of the subjects that are not one by themselves."""
    part_of: Mapping[str, int]
    """Split (`grouped`), fold (`k-fold`) or side of training and validation (`official`) of each leakage group."""
    side_of: Mapping[str, str]
    """Of a subject that the source has on several sides: the one it stays on."""
    dropped_duplicates: Mapping[str, str]
    """Reason by source."""
    rows_per_row_group: Mapping[str, int]
    """Most rows of a row group, by split."""

    def place(self, source: str, kind: Kind | ImageRow) -> Place:
        """Return where an image goes."""
        group = self.group_of.get(kind.subject, kind.subject)
        side = side_before_division(kind, self.strategy)
        kept = self.side_of.get(kind.subject, side)
        dropped = f"its subject is also in {kept}" if kept != side else self.dropped_duplicates.get(source, "")
        part = self.part_of.get(group) if is_divided(side, dropped) else None
        if self.strategy == "k-fold":
            return Place(side, NO_FOLD if part is None else part, group, dropped)
        return Place(side if part is None else SPLITS[part], kind.fold, group, dropped)


def side_before_division(kind: Kind | ImageRow, strategy: str) -> str:
    """Return the split an image is in before leakage groups are divided."""
    if strategy == "official":
        return kind.official_split
    return "test" if strategy == "k-fold" and kind.official_split == "test" else "train"


def is_divided(side: str, dropped: str) -> bool:
    """Whether an image is of those whose leakage groups are divided."""
    return side == "train" and not dropped
