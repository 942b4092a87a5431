"""A back end that the user interrupts in its second run."""

from hvdcells.spark.backends import InProcess


class Interrupted(InProcess):
    runs_left = 1

    def run(self, entry, argument, logs):
        if not self.runs_left:
            raise KeyboardInterrupt
        self.runs_left -= 1
        return super().run(entry, argument, logs)
