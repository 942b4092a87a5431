"""`python -m tests.suite.coverage_told`: write the share of lines that the suite covers into the README."""

import io
import re
from pathlib import Path

import coverage

README = Path(__file__).parents[2] / "README.md"
SENTENCE = re.compile(r"(that the tests cover: )(not measured for this version|\d+ %)")


def told(readme: str, percent: float) -> str:
    """Return the README with the share, rounded down: it must not say more than there is.

    Raises:
        ValueError: the README has no such sentence, or several.
    """
    text, times = SENTENCE.subn(rf"\g<1>{int(percent)} %", readme)
    if times != 1:
        raise ValueError(f"{times} sentences of the README tell what the tests cover; expected one")
    return text


if __name__ == "__main__":
    measured = coverage.Coverage()
    measured.load()
    README.write_text(told(README.read_text(), measured.report(file=io.StringIO())))
