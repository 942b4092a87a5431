"""A rank's entry, by name: imported where it is called and nowhere else."""

import os
import subprocess
import sys
import time

import pytest

from hvdcells.spark.backends import InProcess
from tests.processes import ROOT

pytestmark = pytest.mark.tensorflow

ENTRIES = "tests.hvdcells.spark.backends.entries"


def test_the_entry_is_called_with_the_argument_and_the_time_before_its_module_was_imported():
    sys.modules.pop(ENTRIES, None)
    before = time.time()
    ((argument, called, imported),) = InProcess().run(f"{ENTRIES}:what_it_got", "argument", "logs")
    assert argument == "argument"
    assert before <= called < imported <= time.time()


@pytest.mark.parametrize(
    ("entry", "error"), [(f"{ENTRIES}:nothing", AttributeError), ("tests.nowhere:what_it_got", ModuleNotFoundError)]
)
def test_a_name_of_nothing_is_an_error(entry, error):
    with pytest.raises(error):
        InProcess().run(entry, None, "logs")


def test_tensorflow_comes_with_the_entry_and_without_its_notices():
    code = (
        "import sys; from hvdcells.spark.backends import InProcess; before = 'tensorflow' in sys.modules; "
        f"print(before, InProcess().run('{ENTRIES}:has_tensorflow', None, 'logs'))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False [True]\n", "")
