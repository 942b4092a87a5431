"""The stages from images to a judged model, each as arguments of the `hvdcells` command."""

from collections.abc import Sequence
from dataclasses import dataclass

from hvdcells import storage
from hvdcells.runs.directory import RunDirectory

SPLIT = "test"


@dataclass(frozen=True)
class Pipeline:
    """One dataset from a source and one run on it.

    Args:
        source: images, as `hvdcells etl` takes them.
        dataset: where the dataset is, or will be.
        run: where the run is, or will be.
        recipe: what is trained.
        settings: `FIELD=VALUE` texts that change it.
    """

    source: str
    dataset: str
    run: str
    recipe: str = "small_cnn"
    settings: Sequence[str] = ()

    def stages(self, num_workers: int) -> dict[str, list[str]]:
        """Return the command of each stage, in their order; each can be given again after an interruption."""
        changes = [word for setting in self.settings for word in ("--set", setting)]
        workers = ["--workers", str(num_workers)]
        return {
            "etl": ["etl", self.source, self.dataset, *workers],
            "train": ["train", self.dataset, self.run, "--resume", "--recipe", self.recipe, *workers, *changes],
            "evaluate": ["evaluate", self.run, "--split", SPLIT, *workers],
            "report": ["report", self.run],
        }

    def is_done(self, stage: str) -> bool:
        """Whether nothing of a stage is left to do; the ETL stage itself knows better, and is asked unless trained."""
        run = RunDirectory.at(self.run)
        done = {
            "etl": run.finished,
            "train": run.finished,
            "evaluate": run.evaluation(SPLIT),
            "report": run.report,
        }[stage]
        return storage.exists(done)
