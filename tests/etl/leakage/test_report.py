"""What the report of a run warns of."""

from etl.leakage.report import leakage_report
from etl.options import EtlOptions
from etl.placement.decide import Duplicates
from etl.placement.place import Placement
from etl.shards.counts import Tally, TallyKey
from etl.source.layouts import Layout

LAYOUT = Layout(
    name="folders",
    base="/nowhere",
    class_names=("hem", "all"),
    positive_classes=("all",),
    rows=lambda: iter(()),
    has_official_split=True,
    subjects_known=True,
    default_crop=0,
)
PLACEMENT = Placement("official", {}, {}, {}, {}, {})


def warnings_of(*kept):
    tallied = [Tally(TallyKey(split, name, "1", "1", -1, True), 3, (0,) * 6) for split, name in kept]
    return leakage_report(PLACEMENT, Duplicates(), tallied, {}, LAYOUT, EtlOptions()).warnings


def test_a_split_that_lacks_a_class_is_named_with_what_means_nothing():
    sound = [("train", "hem"), ("train", "all"), ("test", "hem"), ("test", "all")]
    assert not any("has no image of" in warning for warning in warnings_of(*sound))
    (lacking,) = (warning for warning in warnings_of(*sound[:-1]) if "has no image of" in warning)
    assert lacking.startswith("test has no image of all: scores there that depend on it (sensitivity or specificity")
