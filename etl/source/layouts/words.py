"""Words that folders and tables use for classes and splits."""

from collections.abc import Iterable

from hvdcells.errors import UserError

_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_CANCER_WORDS = frozenset(
    ("all", "1", "cancer", "cancerous", "malignant", "tumor", "tumour", "positive", "leukemia", "leukaemia", "blast")
)
_HEALTHY_WORDS = frozenset(("hem", "0", "healthy", "normal", "benign", "negative"))


def split_named(word: str) -> str | None:
    """Return the split that a word stands for; None if it is no word for a split."""
    return _SPLIT_WORDS.get(word.strip().lower())


def order_classes(found: Iterable[str], cancer_class: str | None, where: str) -> tuple[str, str]:
    """Return (healthy, cancer) class names.

    Args:
        found: the class names of the source.
        cancer_class: the one the user says is cancer; None to go by the words.
        where: what they were found in, for the error.

    Raises:
        UserError: there are not two classes, or which of them is cancer cannot be told.
    """
    names = sorted(set(found))
    told = f"{', '.join(names[:8])}{' …' if len(names) > 8 else ''}" or "none"
    if len(names) != 2:
        raise UserError(
            f"{where} has {len(names)} classes: {told}",
            "exactly two, healthy and cancer",
            "name a source with one folder (or label) for each of the two; for C-NMC 2019 use --layout cnmc",
        )
    if cancer_class is not None:
        if cancer_class not in names:
            raise UserError(f"--cancer-class {cancer_class}", f"one of {told}", "name one of these")
        cancer = cancer_class
    else:
        cancers = [name for name in names if name.lower() in _CANCER_WORDS]
        healthy = [name for name in names if name.lower() in _HEALTHY_WORDS]
        if len(cancers) != 1 and len(healthy) != 1:
            raise UserError(
                f"{where} has the classes {told}, and it is not clear which of them is cancer",
                "the class that becomes label 1",
                f"say so: --cancer-class {names[0]} or --cancer-class {names[1]}",
            )
        cancer = cancers[0] if len(cancers) == 1 else next(name for name in names if name not in healthy)
    return next(name for name in names if name != cancer), cancer
