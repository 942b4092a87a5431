"""The learning rate at every point of a run."""

import math

from hvdcells.experiment.sections import REFERENCE_GLOBAL_BATCH, Optimizer


def scaled_learning_rate(learning_rate: float, global_batch: int) -> float:
    """Scale a rate given for a global batch of 256 linearly to another (Goyal et al. 2017, arXiv 1706.02677)."""
    return learning_rate * global_batch / REFERENCE_GLOBAL_BATCH


def learning_rate_at(options: Optimizer, progress_epochs: float, num_epochs: int, global_batch: int) -> float:
    """Return the learning rate at a point of the run.

    Args:
        options: base rate, warm-up and schedule.
        progress_epochs: epochs done, with fraction.
        num_epochs: epochs of the whole run.
        global_batch: images per update over all ranks.

    Returns:
        During warm-up a linear rise from zero to the scaled rate; then the scaled rate, or its cosine decay to
        zero (Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts).
    """
    peak = scaled_learning_rate(options.learning_rate, global_batch)
    warmup = min(options.warmup_epochs, num_epochs)
    if progress_epochs < warmup:
        return peak * progress_epochs / warmup
    if options.schedule == "constant" or num_epochs == warmup:
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (progress_epochs - warmup) / (num_epochs - warmup)))
