"""Words that folders and tables use for classes and splits."""

import re
from collections.abc import Collection

_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "validate": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
}
_SPLIT = re.compile(
    rf"({'|'.join(sorted(_SPLIT_WORDS, key=len, reverse=True))})"
    r"(set|sets|data|dataset|images?|imgs?|samples?|splits?|folder|files?|cells?)*"
)
"""A word for a split, and what people write after it: `train_set`, `Training Data`, `val2017`."""
_ILL_WORDS = frozenset(
    (
        *("all", "aml", "cll", "cml", "leukemia", "leukaemia", "leukemic", "leukaemic", "lymphoma", "blast", "blasts"),
        *("cancer", "cancerous", "carcinoma", "malignant", "malign", "tumor", "tumour", "metastasis"),
        *("infected", "parasitized", "parasitised", "abnormal", "atypical", "diseased", "disease", "ill", "sick"),
        *("positive", "pos", "true", "yes", "1"),
    )
)
_HEALTHY_WORDS = frozenset(
    ("hem", "healthy", "normal", "benign", "control", "negative", "neg", "false", "no", "none", "0")
)
_GROUPING = re.compile(
    r"(?:k?[-_ ]?fold|cv|patients?|pat|subjects?|subj|persons?|people|donors?|cases?|animals?|mouse|slides?|smears?|"
    r"batch(?:es)?|sites?|cent(?:er|re)s?|hospitals?|plates?|wells?|scans?|series|sessions?|visits?|runs?|parts?|"
    r"samples?|ids?|p|s|uid)[\W_]*[a-z]?\d*[a-z]?|\d+[\W_]*x"
)
_NOT = re.compile(r"(?:non|not|no|un)[^a-z]*(.+)")


def split_named(word: str) -> str | None:
    """Return the split that a word stands for; None if it is no word for a split."""
    named = _SPLIT.fullmatch(re.sub(r"[\W\d_]+", "", word.lower()))
    return _SPLIT_WORDS[named[1]] if named else None


def looks_ill(class_name: str) -> bool:
    """Whether a class name is a word for what is ill."""
    return class_name.strip().lower() in _ILL_WORDS


def looks_healthy(class_name: str) -> bool:
    """Whether a class name is a word for what is healthy: also "uninfected", "non-cancer", "no tumor"."""
    word = class_name.strip().lower()
    negated = _NOT.fullmatch(word)
    return word in _HEALTHY_WORDS or bool(negated and negated[1] in _ILL_WORDS)


def splits_named(names: Collection[str]) -> dict[str, str]:
    """Return the split that each of the folders beside each other stands for; empty where they are no splits.

    They are where all of them, or at least two different ones, are words for splits (`TEST_SIMPLE` beside `TRAIN` and
    `TEST`), or where each holds such a word (`seg_train`, `seg_test`). A folder beside them that tells no split is
    not in what is returned.
    """
    plain = {name: split for name in names if (split := split_named(name))}
    within = {name: split for name in names if (split := _split_within(name))}
    if len(plain) == len(names):
        return plain
    if len(set(plain.values())) > 1:
        return within | plain
    return within if len(within) == len(names) and len(set(within.values())) > 1 else {}


def _split_within(word: str) -> str | None:
    told = {_SPLIT_WORDS[part] for part in re.split(r"[\W_\d]+", word.lower()) if part in _SPLIT_WORDS}
    return told.pop() if len(told) == 1 else None


def looks_grouping(name: str) -> bool:
    """Whether a folder is named for people, folds, slides or magnifications, and so not for a class."""
    return _GROUPING.fullmatch(name.strip().lower()) is not None


def tells_class(name: str) -> bool:
    """Whether a folder's name is surely one of a class: a word for ill or healthy that no number stands for."""
    return (looks_ill(name) or looks_healthy(name)) and re.search(r"[^\W\d_]{3}", name) is not None
