"""A user's model function tried before anything is started, in a process that may hold TensorFlow."""

import importlib.util
import json
import os
import subprocess
import sys

from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment
from hvdcells.experiment.trust import code_named_by

CHECK_SECONDS = 300
MOST_TOLD_CHARACTERS = 1000


def check_model_function(experiment: Experiment, image_size: int, num_classes: int) -> None:
    """Refuse a model that could not be trained, kept or used; the models of hvdcells itself are not tried.

    A function whose module is not on this machine is left to the ranks, who may find it in `spark.submit.pyFiles`.

    Args:
        experiment: to be trained.
        image_size: of the dataset, in pixels.
        num_classes: of the dataset.

    Raises:
        UserError: what is wrong with the model of the function.
    """
    for module in code_named_by(experiment):
        try:
            if importlib.util.find_spec(module) is None:
                return
        except (ImportError, ValueError):
            return
        asked = {
            "model": experiment.model.model_dump(),
            "input_size": experiment.data.input_size or image_size,
            "num_classes": num_classes,
        }
        # As here, and nothing from the current folder that is not imported from there here.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "CUDA_VISIBLE_DEVICES": ""}
        environment |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        name = experiment.model.backbone
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "hvdcells.rank.models.check"],
                input=json.dumps(asked),
                capture_output=True,
                text=True,
                env=environment,
                timeout=CHECK_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise _failed(name, f"it was not built in {CHECK_SECONDS} s") from None
        if done.returncode != 0:
            raise _failed(name, done.stderr.strip()[-MOST_TOLD_CHARACTERS:])
        # What the function itself prints comes before.
        raise_together([UserError(*problem) for problem in json.loads(done.stdout.splitlines()[-1])])


def _failed(name: str, why: str) -> UserError:
    return UserError(
        f"the model of {name} cannot be built: {why}",
        "a function that builds a model, given the side of the images",
        "correct the function",
    )
