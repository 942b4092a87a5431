"""Some images of a split, by their rows; only their row groups are read."""

import numpy as np

from hvdcells.data.dataset import Dataset
from hvdcells.images.decode import Pixels
from hvdcells.rank.input.reader import open_reader


def read_chosen(dataset: Dataset, split: str, rows: list[int], input_size: int) -> dict[int, Pixels]:
    """Return images by row: RGB uint8 of shape (input_size, input_size, 3), as the model is given them."""
    ends = np.cumsum(dataset.rows_per_row_group(split))
    row_groups = sorted(set(np.searchsorted(ends, rows, side="right").tolist()))
    wanted, found = set(rows), {}
    with open_reader(dataset, split, row_groups, input_size=input_size, num_threads=1) as reader:
        for row_group in reader:
            for row, image in zip(row_group.row.tolist(), row_group.image, strict=True):
                if row in wanted:
                    found[row] = image.copy()
    return found
