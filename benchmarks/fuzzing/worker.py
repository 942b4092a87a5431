"""Reads changed files of one kind in this process, and watches what that does: `python -m benchmarks.fuzzing.worker`.

Its last line is what came out, as JSON. Before each file its number is written to `at`, so that who started this knows
which one ended it.
"""

import json
import os
import re
import resource
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzzing import examples
from benchmarks.fuzzing.mutations import changed_bytes, changed_json
from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.errors import UserError
from hvdcells.images.decode import Unreadable, decode_bgr
from hvdcells.rank.input.reader import open_reader
from hvdcells.report.facts import gather
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.earlier_run import own_experiment

REFUSED = (UserError, Unreadable)
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
    "pickle.find_class",
    "ctypes.dlopen",
)
"""Audited events of Python that reading a file must never lead to."""
CHANGING = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree")
DECODER = "decoding_process.py"


class Watch:
    """Notes what this process does, from `begin` on, that reading a file must never lead to."""

    def __init__(self, folder: Path) -> None:
        self._inside, self._on = os.path.realpath(folder), False
        self.seen: Counter[str] = Counter()
        sys.addaudithook(self._hear)

    def begin(self) -> None:
        """Watch from now on; what is imported and opened once has been."""
        self._on = True

    def end(self) -> None:
        """Watch no more."""
        self._on = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event in FORBIDDEN or event == "import":
            self.seen[f"{event} {arguments[0]!r}"[:200]] += 1
        elif event == "subprocess.Popen" and not any(str(word).endswith(DECODER) for word in arguments[1]):
            self.seen[f"{event} {arguments[1]}"[:200]] += 1
        elif event in CHANGING or (event == "open" and self._writes(arguments)):
            self._outside(event, arguments[0])
        elif event == "open" and "/etc/" in str(arguments[0]):
            self.seen[f"open {arguments[0]!r}"] += 1

    def _writes(self, arguments: tuple[Any, ...]) -> bool:
        return bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    def _outside(self, event: str, place: Any) -> None:
        path = os.path.realpath(os.fsdecode(place)) if isinstance(place, str | bytes | os.PathLike) else ""
        if path and not path.startswith(self._inside) and path != os.devnull:
            self.seen[f"{event} {place!r}"[:200]] += 1


def image_cases(folder: Path, rng: np.random.Generator) -> Iterator[Callable[[], None]]:
    """Yield, without end, the decoding of changed images; the first ones are whole."""
    kinds = list(examples.images().values())
    for content in kinds:
        yield partial(_decode, content)
    while True:
        content = changed_bytes(kinds[rng.integers(0, len(kinds))], rng)
        yield partial(_decode, content)


def manifest_cases(folder: Path, rng: np.random.Generator) -> Iterator[Callable[[], None]]:
    """Yield the opening of datasets with changed manifests, and the reading of what they still name."""
    examples.dataset(folder / "dataset")
    location = folder / "dataset/manifest.json"
    whole = location.read_text()
    yield lambda: _read(folder / "dataset")
    while True:
        location.write_text(changed_json(whole, rng), errors="surrogatepass")
        yield lambda: _read(folder / "dataset")


def parquet_cases(folder: Path, rng: np.random.Generator) -> Iterator[Callable[[], None]]:
    """Yield the reading of datasets of which a Parquet file is changed."""
    examples.dataset(folder / "dataset")
    file = folder / "dataset/images/split=train/part-00000.parquet"
    whole = file.read_bytes()
    yield lambda: _read(folder / "dataset")
    while True:
        file.write_bytes(changed_bytes(whole, rng))
        yield lambda: _read(folder / "dataset")


def run_cases(folder: Path, rng: np.random.Generator) -> Iterator[Callable[[], None]]:
    """Yield the gathering of runs of which a file is changed."""
    examples.run(folder / "whole", examples.dataset(folder / "dataset"))
    files = sorted(path.relative_to(folder / "whole") for path in (folder / "whole").rglob("*") if path.is_file())
    shutil.copytree(folder / "whole", folder / "run")
    yield lambda: _gather(folder / "run")
    while True:
        name = files[rng.integers(0, len(files))]
        whole, changed = folder / "whole" / name, folder / "run" / name
        if name.suffix == ".json":
            changed.write_text(changed_json(whole.read_text(), rng), errors="surrogatepass")
        else:
            changed.write_bytes(changed_bytes(whole.read_bytes(), rng))
        yield lambda: _gather(folder / "run")
        shutil.copy(whole, changed)


CASES = {"images": image_cases, "manifests": manifest_cases, "parquet": parquet_cases, "runs": run_cases}


def _decode(content: bytes) -> None:
    decode_bgr(content)


def _read(folder: Path) -> None:
    with storage.user_errors():
        dataset = Dataset.open(folder)
    for split in dataset.manifest.splits:
        rows = dataset.rows_per_row_group(split)
        plan_epoch(rows, 1, 4)
        dataset.read_rows(split, ("subject", "label", "content_hash"))
        size = min(64, dataset.manifest.image_size)
        with open_reader(dataset, split, range(len(rows)), input_size=size, num_threads=1) as row_groups:
            for _ in row_groups:
                pass


def _gather(folder: Path) -> None:
    with storage.user_errors():
        run = RunDirectory.at(folder)
        own_experiment(run.location)
        gather(run)


def work(kind: str, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Read so many changed files of a kind; return what came out."""
    outcomes: Counter[str] = Counter()
    slowest, watch = 0.0, Watch(folder)
    cases = CASES[kind](folder, np.random.default_rng(seed))
    whole = len(examples.images()) if kind == "images" else 1
    for number in range(count + whole):
        case = next(cases)
        (folder / "at").write_text(str(number))
        if number >= whole:
            watch.begin()
        began = time.monotonic()
        try:
            case()
            outcomes["read"] += 1
        except REFUSED:
            outcomes["refused"] += 1
        except Exception as error:
            outcomes[type(error).__name__] += 1
        watch.end()
        slowest = max(slowest, time.monotonic() - began if number >= whole else 0.0)
        if number < whole and outcomes["read"] != number + 1:
            raise RuntimeError(f"a whole file is not read: {outcomes}")
    return {
        "files": count,
        "outcomes": dict(outcomes),
        "forbidden": dict(watch.seen),
        "slowest_seconds": round(slowest, 2),
        "peak_mib": (_peak_kib() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024,
    }


def _peak_kib() -> int:
    """Return the most memory of this process, not of the one it was forked from, which `getrusage` takes over."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1])  # type: ignore[index]


if __name__ == "__main__":
    asked, how_many, with_seed, where = sys.argv[1:]
    print(json.dumps(work(asked, int(how_many), int(with_seed), Path(where))))
