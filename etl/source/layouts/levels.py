"""Which level of a source's folders is named for classes, and which for splits."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from etl.options import EtlOptions
from etl.source.identity import folded
from etl.source.layouts.words import looks_grouping, splits_named, tells_class
from hvdcells.errors import UserError

_MOST_TOLD = 4


@dataclass(frozen=True)
class Levels:
    """The levels of a source's folders, counted from 0 below the source."""

    of_classes: int
    of_splits: int | None
    """The first level whose folders are splits; None where there is none."""
    splits: Mapping[str, str]
    """Split of each folder name of that level."""
    notes: tuple[str, ...] = ()

    def class_of(self, folder: str) -> str | None:
        """Return the source's own name of the class of a folder's images; None where it lies above that level."""
        parts = PurePosixPath(folder).parts
        return parts[self.of_classes] if len(parts) > self.of_classes else None

    def split_of(self, parts: tuple[str, ...]) -> str | None:
        """Return the split that the folders of an image say; None where it lies beside the splits' folders."""
        if self.of_splits is None:
            return "train"
        return self.splits.get(parts[self.of_splits]) if len(parts) > self.of_splits else None


def find_levels(folders: Iterable[str], options: EtlOptions, where: str) -> Levels:
    """Find the level of classes and that of splits.

    Args:
        folders: paths of the folders that images lie in, below the source.
        options: `class_level` and `classes` settle it.
        where: the source, for errors.

    Raises:
        UserError: several levels may be that of classes, or the level that was asked for is not there.
    """
    paths = [PurePosixPath(folder).parts for folder in folders]
    names: dict[int, list[str]] = defaultdict(list)
    for parts in paths:
        for level, name in enumerate(parts):
            if name not in names[level]:
                names[level].append(name)
    splits = {level: told for level, found in names.items() if (told := splits_named(found))}
    of_splits = min(splits, default=None)
    of_classes, notes = _class_level(paths, names, splits, options, where)
    if of_splits == of_classes:
        of_splits = None
    told = splits[of_splits] if of_splits is not None else {}
    if set(told.values()) <= {"train"}:
        # Nothing is held out by folders that all say "train".
        return Levels(of_classes, None, {}, notes)
    by_split = (f"{name} → {split}" for name, split in sorted(told.items()))
    return Levels(of_classes, of_splits, told, (*notes, f"folders name the splits: {', '.join(by_split)}"))


def _class_level(
    paths: list[tuple[str, ...]],
    names: Mapping[int, list[str]],
    splits: Mapping[int, Mapping[str, str]],
    options: EtlOptions,
    where: str,
) -> tuple[int, tuple[str, ...]]:
    if options.class_level is not None:
        level = options.class_level - 1
        if level not in names:
            raise UserError(
                f"--class-level {options.class_level}, but {where} has {len(names)} levels of folders",
                f"a number from 1, the folders directly below the source, to {len(names)}",
                "correct it",
            )
        return level, ()
    open_levels = [level for level in sorted(names) if level not in splits]
    if options.classes:
        asked = {folded(name) for name in options.classes} | {folded(name) for name in options.map_class}
        named = [level for level in open_levels if asked & set(map(folded, names[level]))]
        if len(named) == 1:
            return named[0], ()
    several = [level for level in open_levels if len(names[level]) > 1]
    if not several:
        # One class only: the deepest level that is not a split's.
        return max(open_levels, default=0), ()
    telling = [level for level in several if sum(map(tells_class, names[level])) * 2 >= len(names[level])]
    likely = [level for level in several if not all(map(looks_grouping, names[level]))] or several
    if len(telling) == 1:
        return telling[0], _told_level(telling[0], likely, names)
    upper = likely[0]
    for lower in likely[1:]:
        relation = _relation(paths, upper, lower)
        numbers = all(name.isdecimal() for name in names[upper])
        if relation == "apart":  # what lies below one class lies below no other: people, slides
            continue
        if relation == "shared" and numbers and not all(name.isdecimal() for name in names[lower]):
            upper = lower
            continue
        raise _in_doubt(upper, lower, names, where)
    return upper, _told_level(upper, likely, names)


def _relation(paths: list[tuple[str, ...]], upper: int, lower: int) -> str:
    """Return whether names of the lower level lie each below one name of the upper (`apart`), or below several."""
    above: dict[str, set[str]] = defaultdict(set)
    for parts in paths:
        if len(parts) > lower:
            above[parts[lower]].add(parts[upper])
    num_shared = sum(len(uppers) > 1 for uppers in above.values())
    if num_shared == 0:
        return "apart"
    return "shared" if 2 * num_shared >= len(above) else "mixed"


def _told_level(level: int, several: list[int], names: Mapping[int, list[str]]) -> tuple[str, ...]:
    if several == [level]:
        return ()
    others = "; ".join(f"level {other + 1} has {_some(names[other])}" for other in several if other != level)
    return (f"classes are the folders of level {level + 1}: {_some(names[level])} ({others}); else give --class-level",)


def _in_doubt(upper: int, lower: int, names: Mapping[int, list[str]], where: str) -> UserError:
    return UserError(
        f"{where} may have the classes {_some(names[upper])} (folders of level {upper + 1}) or {_some(names[lower])} "
        f"(level {lower + 1}): each of these lies below several of the others",
        "one level of folders that is named for classes",
        f"say which: --class-level {upper + 1} or --class-level {lower + 1}",
    )


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = len(listed) - _MOST_TOLD
    return ", ".join(listed[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
