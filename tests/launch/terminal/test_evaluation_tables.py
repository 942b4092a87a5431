"""What an evaluation says on the screen."""

import io

import pandas as pd
import pytest
from rich.console import Console

from hvdcells.scores.evaluated_dataset import EvaluatedDataset
from hvdcells.scores.evaluation import Evaluation
from launch.terminal.evaluation_tables import print_evaluation
from tests.small_dataset import write_small_dataset


@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [0, 1, 1, 0]])
def test_a_split_of_one_class_is_not_praised_without_a_word(tmp_path, labels):
    manifest = write_small_dataset(tmp_path, {"train": [[4]]}).manifest
    probabilities = [0.9 if label else 0.1 for label in labels]
    predictions = pd.DataFrame(
        {
            "subject": list("abcd"),
            "label": labels,
            "probability_hem": [1 - each for each in probabilities],
            "probability_all": probabilities,
        }
    )
    dataset = EvaluatedDataset("somewhere", "0" * 64)
    evaluation = Evaluation.of_predictions(predictions, manifest, dataset, split="test", epoch=1)
    screen = io.StringIO()
    print_evaluation(evaluation, Console(file=screen, width=200))
    assert ("test has no image of hem: scores there" in screen.getvalue()) == (0 not in labels)
