"""Which classes a dataset has: a source's own names folded, merged, left aside and ordered as the options say."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl.options import EtlOptions
from etl.source.identity import folded
from etl.source.layouts.words import looks_healthy, looks_ill
from etl.source.rows import LEFT_ASIDE, ImageRow
from hvdcells.data.manifest import default_positive_classes
from hvdcells.errors import UserError

_MOST_TOLD = 8


@dataclass(frozen=True)
class Classes:
    """The classes of a dataset, and which of them each of a source's own names stands for."""

    names: tuple[str, ...]
    """By label."""
    positive: tuple[str, ...]
    """Those that count as ill, in the order of labels."""
    class_of: Mapping[str, str]
    """Class of each of the source's names; a name that is ignored is not in it."""
    notes: tuple[str, ...] = ()

    def labelled(self, row: ImageRow, own: str) -> ImageRow:
        """Return the row of an image with the class that the source's name stands for, or left aside."""
        name = self.class_of.get(own)
        if name is None:
            reason = f"class {own}, ignored as asked"
            return ImageRow(row.source, row.size_bytes, row.fingerprint, status=LEFT_ASIDE, reason=reason)
        return row._replace(label=self.names.index(name), class_name=name)


def settle_classes(found: Mapping[str, int], options: EtlOptions, where: str) -> Classes:
    """Settle the classes of a source.

    Args:
        found: images of each of the source's own names.
        options: `classes`, `map_class`, `ignore_class`, `positive` and `cancer_class`.
        where: what they were found in, for errors, such as "the table cells.csv".

    Raises:
        UserError: there are fewer than two classes, or an option names one that there is not.
    """
    spelling, notes = _fold(found)
    known = sorted(set(spelling.values()))
    mapped = {_known(old, known, f"--map-class {old}={new}"): new for old, new in options.map_class.items()}
    ignored = {_known(name, known, f"--ignore-class {name}") for name in options.ignore_class}
    if both := sorted(ignored & mapped.keys()):
        raise UserError(f"--ignore-class {both[0]} and --map-class {both[0]}=…", "one of the two", "leave one out")
    class_of = {own: mapped.get(name, name) for own, name in spelling.items() if name not in ignored}
    names = sorted(set(class_of.values()))
    if len(names) < 2:
        aside = f" besides {len(ignored)} that are ignored" if ignored else ""
        raise UserError(
            f"{where} has {len(names)} class{'' if len(names) == 1 else 'es'}: {_told(names)}{aside}",
            "two classes or more",
            "name a source with one folder (or label) for each class; for C-NMC 2019 use --layout cnmc",
        )
    positive = _positive(names, options)
    telling = _one_that_is_ill(names)
    if options.classes:
        ordered = _as_asked(names, options.classes, where)
    else:
        last = positive or telling
        ordered = sorted(names, key=lambda name: (len(names) == 2 and name in last, name))
    if not positive:
        positive = telling or default_positive_classes(ordered)
        if len(names) == 2 and not telling:
            notes += (
                f"the names {_told(ordered)} do not tell which class counts as ill: {ordered[1]}, the last, is taken "
                f"for it in sensitivity and specificity; another is said by --positive {ordered[0]}",
            )
    return Classes(tuple(ordered), tuple(name for name in ordered if name in positive), class_of, notes)


def _fold(found: Mapping[str, int]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return of each name the spelling that stands for it: of those that are surely the same, the most frequent."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(found, key=lambda name: (-found[name], name)):
        alike[folded(name)].append(name)
    notes = tuple(
        f"the class names {_told(names)} are taken for one, {names[0]}" for names in alike.values() if len(names) > 1
    )
    return {name: names[0] for names in alike.values() for name in names}, notes


def _known(name: str, known: Sequence[str], option: str) -> str:
    for own in known:
        if folded(own) == folded(name):
            return own
    raise UserError(option, f"one of the source's classes {_told(known)}", "name one of these")


def _as_asked(names: Sequence[str], asked: Sequence[str], where: str) -> list[str]:
    by_fold = {folded(name): name for name in names}
    unknown = [name for name in asked if folded(name) not in by_fold]
    twice = [name for name, num in Counter(map(folded, asked)).items() if num > 1]
    missing = [name for name in names if folded(name) not in set(map(folded, asked))]
    if unknown or twice or missing:
        problems = [f"{name} is no class of {where}" for name in unknown]
        problems += [f"{name} stands there twice" for name in twice]
        problems += [f"{name} is not among them" for name in missing]
        raise UserError(
            f"--classes {','.join(asked)}: {'; '.join(problems)}",
            f"each of the classes {_told(names)} once",
            f"--ignore-class {missing[0]} leaves that class aside" if missing and not unknown else "correct it",
        )
    return [by_fold[folded(name)] for name in asked]


def _positive(names: Sequence[str], options: EtlOptions) -> tuple[str, ...]:
    asked = options.positive
    option = f"--positive {','.join(asked)}"
    if options.cancer_class is not None:
        if asked:
            raise UserError(f"--cancer-class and {option}", "one of the two: they say the same", "leave one out")
        asked, option = (options.cancer_class,), f"--cancer-class {options.cancer_class}"
    chosen = {_known(name, names, option) for name in asked}
    if len(chosen) == len(names):
        raise UserError(f"{option}, which are all classes", "some of them, and not all", "leave one out")
    return tuple(chosen)


def _one_that_is_ill(names: Sequence[str]) -> tuple[str, ...]:
    """Return which of two classes counts as ill, where their names tell; else nothing."""
    if len(names) != 2:
        return ()
    ill = [name for name in names if looks_ill(name)]
    healthy = [name for name in names if looks_healthy(name)]
    if len(ill) == 1:
        return (ill[0],)
    return tuple(name for name in names if name not in healthy) if len(healthy) == 1 else ()


def _told(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_MOST_TOLD])}{' …' if len(names) > _MOST_TOLD else ''}" or "none"
