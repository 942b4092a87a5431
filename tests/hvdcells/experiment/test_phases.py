import pytest

from hvdcells.errors import UserError
from hvdcells.experiment import Experiment, Optimizer, Transfer
from hvdcells.experiment.learning_rate import learning_rate_at
from hvdcells.experiment.phases import Phase, phase_of, plan_phases


@pytest.mark.parametrize(
    ("head_epochs", "num_epochs", "expected"),
    [
        (0, 5, [Phase("all", 0, 5, 0.1)]),
        (2, 5, [Phase("head", 0, 2), Phase("all", 2, 3, 0.1)]),
        (5, 5, [Phase("head", 0, 5)]),
        (9, 5, [Phase("head", 0, 5)]),
    ],
)
def test_phases_cover_every_epoch_once(head_epochs, num_epochs, expected):
    phases = plan_phases(Transfer(head_epochs=head_epochs, fine_tune_rate_factor=0.1), num_epochs)
    assert phases == expected
    found = [phase_of(phases, epoch) for epoch in range(num_epochs)]
    assert found == [phase for phase in expected for _ in range(phase.num_epochs)]


def test_every_phase_warms_up_and_decays_by_itself():
    options = Optimizer(learning_rate=0.1, warmup_epochs=1)
    head, rest = plan_phases(Transfer(head_epochs=2, fine_tune_rate_factor=0.1), 6)
    for progress in (0.5, 1, 1.5, 2):
        assert head.learning_rate_at(options, progress, 256) == learning_rate_at(options, progress, 2, 256)
        expected = 0.1 * learning_rate_at(options, progress, 4, 256)
        assert rest.learning_rate_at(options, 2 + progress, 256) == pytest.approx(expected)


def test_a_plain_run_is_one_phase_with_the_whole_schedule():
    (phase,) = plan_phases(Transfer(), 10)
    options = Optimizer()
    assert phase.learning_rate_at(options, 3.5, 64) == learning_rate_at(options, 3.5, 10, 64)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transfer.head_epochs": "2"}, "set model.weights"),
        ({"transfer.freeze_batch_norm": "true"}, "set model.weights"),
        ({"transfer.fine_tune_from": "conv3", "transfer.fine_tune_fraction": "0.5"}, "not both"),
        ({"optimizer.name": "adam", "optimizer.weight_decay": "0.1"}, "adamw"),
        ({"model.backbone": "a:b:c"}, "model.backbone='a:b:c'"),
        ({"model.backbone": "../file.py"}, "model.backbone"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        Experiment().override(changes)
