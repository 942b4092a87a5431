"""An adapter that does what its argument says, without any method."""

import subprocess
import sys
import time

from benchmarks.methods.adapters.task import Outcome


def main(outcome: Outcome, behaviour: str) -> None:
    """Note two epochs, then end as told."""
    for _ in range(2):
        outcome.epoch(0.1, 10, [0.2, 0.8])
    if behaviour == "crash":
        sys.stdout.write("INFO: some words: that are no error\n")
        raise KeyError("weights of the third layer")
    if behaviour == "silent":
        return
    if behaviour == "endless":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        (outcome.folder / "child").write_text(str(child.pid))
        time.sleep(600)
    outcome.finish([0.2, 0.8])


if __name__ == "__main__":
    main(Outcome(sys.argv[2]), sys.argv[3])
