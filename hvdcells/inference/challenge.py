"""C-NMC 2019's submission: a zip of one file `isbi_valid.predict`, a line an image, 1 for cancer and 0 for healthy.

Line n is the image n.bmp. The preliminary test set has 1,867 of them, the final one 2,586.
"""

import io
import zipfile
from collections.abc import Iterable
from pathlib import PurePosixPath

from hvdcells.errors import UserError

MEMBER = "isbi_valid.predict"
NUM_IMAGES = (1867, 2586)
"""Of the preliminary and of the final test set."""
_MOST_TOLD = 10


def submission(calls: Iterable[tuple[str, bool]]) -> bytes:
    """Return the zip of a submission.

    Args:
        calls: path of each image, and whether it is called cancer.

    Raises:
        UserError: an image of the set is missing (as one that could not be read), is there twice, or is not of it.
    """
    lines: dict[int, bool] = {}
    others: list[str] = []
    for path, is_cancer in calls:
        name = PurePosixPath(path)
        number = int(name.stem) if name.stem.isascii() and name.stem.isdecimal() else 0
        if number == 0 or number in lines or str(number) != name.stem or number > max(NUM_IMAGES):
            others.append(path)
        else:
            lines[number] = is_cancer
    wanted = next((num for num in NUM_IMAGES if max(lines, default=0) <= num), max(NUM_IMAGES))
    missing = [number for number in range(1, wanted + 1) if number not in lines]
    if missing or others:
        told = [f"no prediction of {_some(f'{number}.bmp' for number in missing)}"] if missing else []
        told += [f"images that are not of it, or twice: {_some(others)}"] if others else []
        raise UserError(
            f"no submission can be made: {'; '.join(told)}",
            f"the images 1.bmp to {wanted}.bmp of a test set of C-NMC 2019, each once and readable",
            "name the folder of the test set alone, and mend what rejects/ names",
        )
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date: the same calls are the same bytes.
        archive.writestr(
            zipfile.ZipInfo(MEMBER, (2019, 1, 1, 0, 0, 0)), "".join(f"{lines[n]:d}\n" for n in sorted(lines))
        )
    return memory.getvalue()


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_MOST_TOLD]) + (f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else "")
