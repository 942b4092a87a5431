"""Keeps fast tests fast: in a process that loads this, TensorFlow, Java and hosts of their own are refused.

`pytest --fast` calls `forbid` and puts this folder on the path of the processes that tests start, which load this
file by its name.
"""

import os
import sys

MODULES = {"tensorflow", "tf_keras", "keras", "horovod"}
"""What only a test with the mark `tensorflow` may import."""
PROGRAMS = {"java": "spark", "spark-class": "spark", "spark-submit": "spark", "ip": "hosts", "unshare": "hosts"}
"""What only a test with one of these marks may start."""


def forbid(error: type[BaseException] = SystemExit) -> None:
    """Raise that error where a module or program is used that a fast test has no time for."""

    def watch(event: str, arguments: tuple) -> None:
        if event == "import" and arguments[0] in MODULES:
            raise error(f"a fast test imports {arguments[0]}: mark it `tensorflow`")
        if event == "subprocess.Popen":
            first = next(iter(arguments[1]), "") if not isinstance(arguments[1], str) else ""
            program = os.path.basename(os.fsdecode(first))  # noqa: PTH119 (nothing is imported here that need not be)
            if program in PROGRAMS:
                raise error(f"a fast test starts {program}: mark it `{PROGRAMS[program]}`")

    sys.addaudithook(watch)


if __name__ == "sitecustomize":
    forbid()
