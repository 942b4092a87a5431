"""Demonstration cells in the layout of C-NMC 2019, for trying everything without any medical data."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from etl.demo_cells.cell import draw_smear, draw_traits, paint
from etl.demo_cells.hard import harden
from etl.demo_cells.marker import Difficulty, SyntheticMarker, read_marker, write_marker
from etl.demo_cells.plan import MIN_SUBJECTS, NO_PART, TEST_PART, CellSet, Picture, plan_cnmc
from etl.demo_cells.stages import MIN_SUBJECTS_OF_STAGES, STAGES, plan_stages
from hvdcells import storage
from hvdcells.data.columns import SYNTHETIC_MARKER
from hvdcells.errors import UserError, raise_together


@dataclass(frozen=True)
class SyntheticSummary:
    """What `synthesize` made, or found made."""

    location: str
    marker: SyntheticMarker
    num_written: int
    """Images written by this call: 0 where the finished set was there already."""
    images_per_part: dict[str, int]
    images_per_class: dict[str, int]


def synthesize(
    out: str | os.PathLike[str],
    num_subjects: int = 24,
    images_per_subject: int = 20,
    seed: int = 0,
    workers: int | None = None,
    num_classes: int = 2,
    difficulty: Difficulty = "easy",
) -> SyntheticSummary:
    """Write demonstration cells, 450×450 24-bit BMPs: of two classes as C-NMC 2019, or of four, a folder each.

    Two: folds 0–2 and a preliminary test, each subject in one. Four (benign, and three stages): a table beside the
    folders names label and subject, and no splits.

    The same seed writes the same bytes, whatever the number of workers. An interrupted call is completed by
    calling again. The mark that the images are synthetic is there before the first of them.

    Args:
        out: folder or URL to write to: empty, missing, or holding this very set.
        num_subjects: at least 8 for two classes, of which about two in five are healthy; 12 for four, a quarter.
        images_per_subject: cells of each subject.
        seed: draws another set of subjects and cells.
        workers: pictures painted at once; None for the number of cores.
        num_classes: 2 or 4.
        difficulty: `hard` has cells between two kinds, 2 % wrong labels, hospitals with stains of their own, and debris
            (`hard.harden`); `easy` has none of it.

    Raises:
        UserError: a number is too small, or `out` holds something else or cannot be written to.
    """
    workers = workers if workers is not None else os.cpu_count() or 1
    _check_numbers(num_subjects, images_per_subject, seed, workers, num_classes)
    out = storage.absolute(out)
    plan = plan_cnmc if num_classes == 2 else plan_stages
    cells = plan(num_subjects, images_per_subject, seed)
    if difficulty == "hard":
        cells = harden(cells, seed)
    pictures = cells.pictures
    unfinished = SyntheticMarker(
        complete=False,
        seed=seed,
        num_subjects=num_subjects,
        images_per_subject=images_per_subject,
        num_images=len(pictures),
        num_classes=num_classes,
        difficulty=difficulty,
    )
    finished = unfinished.model_copy(update={"complete": True})

    present = _files_below(out)
    found = _check_target(out, present, finished)
    missing = [] if found == finished else [picture for picture in pictures if picture.path not in present]
    if found != finished:
        _begin(out, unfinished)
        _remove_leftovers(out, present)
        _write_pictures(out, cells, missing, workers)
        storage.write_text(storage.join(out, cells.table_path), cells.table)
        write_marker(out, finished)
    return SyntheticSummary(
        location=out,
        marker=finished,
        num_written=len(missing),
        images_per_part=dict(Counter(_part_name(picture) for picture in pictures)),
        images_per_class=dict(Counter(cells.class_names[picture.label] for picture in pictures)),
    )


def _check_numbers(num_subjects: int, images_per_subject: int, seed: int, workers: int, num_classes: int) -> None:
    problems = []
    if num_classes not in (2, len(STAGES)):
        problems.append(UserError(f"--classes {num_classes}", f"2 or {len(STAGES)}", "give one of these"))
    least_subjects, why = MIN_SUBJECTS, "one of each class in three folds and the preliminary test"
    if num_classes == len(STAGES):
        least_subjects, why = MIN_SUBJECTS_OF_STAGES, "enough of each class for three splits"
    if num_subjects < least_subjects:
        problems.append(
            UserError(
                f"{num_subjects} subjects",
                f"at least {least_subjects}: {why}",
                f"give --subjects {least_subjects} or more",
            )
        )
    for name, value, least in (
        ("images-per-subject", images_per_subject, 1),
        ("seed", seed, 0),
        ("workers", workers, 1),
    ):
        if value < least:
            problems.append(UserError(f"--{name} {value}", f"{least} or more", f"give --{name} {least} or more"))
    raise_together(problems)


def _files_below(out: str) -> set[str]:
    """Paths of all files below the location, relative to it."""
    return set(storage.files_below(out))


def _check_target(out: str, present: set[str], wanted: SyntheticMarker) -> SyntheticMarker | None:
    """Return the mark that is there; refuse a location that holds anything but the wanted set, whole or begun."""
    if not present:
        return None
    found = read_marker(out) if SYNTHETIC_MARKER in present else None
    if found is None or found.model_copy(update={"complete": True}) != wanted:
        held = "another set of demonstration cells" if found else f"{len(present)} files that were not made here"
        raise UserError(
            f"{out} holds {held}",
            "an empty or missing folder, or one that holds the same set (same seed, subjects, images, difficulty)",
            "name another folder, or empty this one",
        )
    return found


def _begin(out: str, unfinished: SyntheticMarker) -> None:
    try:
        write_marker(out, unfinished)
    except OSError as error:
        raise UserError(
            f"cannot write to {out}: {error.strerror or error}",
            "a folder or s3:// address that may be written to",
            "name another one, or change its permissions",
        ) from error


def _remove_leftovers(out: str, present: set[str]) -> None:
    """Remove what a killed call had written aside and not renamed."""
    for path in present:
        if path.rpartition("/")[2].startswith("."):
            storage.remove(storage.join(out, path))


def _write_pictures(out: str, cells: CellSet, pictures: Sequence[Picture], workers: int) -> None:
    from rich.progress import track

    # Threads are enough: nearly all of a picture's time is in numpy and OpenCV, which let go of the interpreter.
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda picture: _write_picture(out, cells, picture), pictures)
        for _ in track(results, "Painting synthetic cells", total=len(pictures), transient=True):
            pass


def _write_picture(out: str, cells: CellSet, picture: Picture) -> None:
    rng = np.random.default_rng(picture.seed_key)
    smear = draw_smear(picture.subject.smear_effects)
    if picture.hospital is not None:
        smear = smear.times(picture.hospital)
    traits = draw_traits(picture.kind or cells.kinds[picture.label], smear, rng)
    image = paint(traits, smear, rng, picture.num_debris)
    _, encoded = cv2.imencode(".bmp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    storage.write_bytes(storage.join(out, picture.path), encoded.tobytes())


def _part_name(picture: Picture) -> str:
    part = picture.subject.part
    if part == NO_PART:
        return "no split given"
    return "preliminary test" if part == TEST_PART else f"fold {part}"
