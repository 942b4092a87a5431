"""Which cluster to rent: the cheapest one for a deadline, or the fastest one for a budget."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.cluster_model.cluster import GBIT, Cluster, Link
from benchmarks.cluster_model.gpu_rates import GpuRate
from benchmarks.cluster_model.gradients import Gradients
from benchmarks.cluster_model.published import Constants
from benchmarks.cluster_model.step import Fusion, Prediction, Workload, predict
from hvdcells.errors import UserError
from launch.clusters.instances import Catalogue, Service

PRIMARY = "m5.xlarge"
"""The machine that an EMR cluster has besides its workers; always on demand."""


@dataclass(frozen=True)
class Job:
    """What is to be trained, and where it may run."""

    gradients: Gradients
    num_images: int
    epochs: int
    service: Service
    spot: bool
    start_up_seconds: float
    """Until the first step: machines, bootstrap, Spark. Paid for."""
    max_gpus: int = 512
    min_steps_per_epoch: int = 10
    """A global batch that leaves fewer is not offered: the model would hardly be updated."""


@dataclass(frozen=True)
class Offer:
    """One cluster with the time and the money that the job takes on it."""

    instance: str
    num_hosts: int
    num_gpus: int
    gpu: str
    global_batch: int
    images_per_second: float
    efficiency: float
    hours: float
    """Start-up included."""
    usd: float


def offers(job: Job, rates: dict[str, GpuRate], catalogue: Catalogue, constants: Constants) -> list[Offer]:
    """Return all clusters that are not beaten in time and in money by another one, the fastest first.

    Raises:
        UserError: no machine of the price table has a GPU whose rate is known.
    """
    found = list(_all_offers(job, rates, catalogue, constants))
    if not found:
        gpus = sorted({machine.gpu for machine in catalogue.instances.values() if machine.gpu})
        raise UserError(
            f"images per second of {', '.join(rates)}",
            f"of a GPU that the price table has under {job.service}: {', '.join(gpus)}",
            "give the rate of one of them, such as --gpu-rate T4=150, or a price table of your own (--prices FILE)",
        )
    found.sort(key=lambda offer: (offer.hours, offer.usd))
    best, cheapest = [], math.inf
    for offer in found:
        if offer.usd < cheapest:
            best.append(offer)
            cheapest = offer.usd
    return best


def choose(frontier: list[Offer], deadline_hours: float | None, budget_usd: float | None) -> Offer:
    """Return the cheapest offer within the deadline, or the fastest one within the budget.

    Raises:
        UserError: none is; the nearest is named.
    """
    within = [
        offer
        for offer in frontier
        if (deadline_hours is None or offer.hours <= deadline_hours) and (budget_usd is None or offer.usd <= budget_usd)
    ]
    if within:
        return within[0] if deadline_hours is None else within[-1]
    fastest, cheapest = frontier[0], frontier[-1]
    raise UserError(
        "a deadline or a budget that no cluster keeps",
        f"at least {fastest.hours:.2f} h ({fastest.num_hosts} × {fastest.instance}, ${fastest.usd:,.2f}) and at least "
        f"${cheapest.usd:,.2f} ({cheapest.num_hosts} × {cheapest.instance}, {cheapest.hours:.2f} h)",
        "allow more time or money, or fewer epochs",
    )


def _all_offers(job: Job, rates: dict[str, GpuRate], catalogue: Catalogue, constants: Constants) -> Iterator[Offer]:
    primary = catalogue.usd_per_hour(PRIMARY, "emr") or 0.0 if job.service == "emr" else 0.0
    for name, machine in catalogue.instances.items():
        price = catalogue.usd_per_hour(name, job.service, job.spot)
        if machine.gpu not in rates or price is None:
            continue
        rate = rates[machine.gpu]
        largest_batch = job.num_images / job.min_steps_per_epoch
        max_gpus = min(job.max_gpus, max(1, int(largest_batch / rate.batch_size)))
        network = Link(constants.latency_seconds, constants.bandwidth_share * machine.network_gbits * GBIT)
        for num_hosts in range(1, max_gpus // machine.num_gpus + 1):
            cluster = Cluster(num_hosts, machine.num_gpus, network)
            step = _step(job, rate, cluster, constants)
            global_batch = rate.batch_size * cluster.num_gpus
            num_steps = job.epochs * math.ceil(job.num_images / global_batch)
            hours = (job.start_up_seconds + num_steps * step.step_seconds) / 3600
            yield Offer(
                instance=name,
                num_hosts=num_hosts,
                num_gpus=cluster.num_gpus,
                gpu=machine.gpu,
                global_batch=global_batch,
                images_per_second=step.images_per_second,
                efficiency=step.efficiency,
                hours=hours,
                usd=hours * (num_hosts * price + primary),
            )


def _step(job: Job, rate: GpuRate, cluster: Cluster, constants: Constants) -> Prediction:
    workload = Workload(job.gradients, rate.batch_size, rate.images_per_second, constants.jitter)
    return predict(workload, cluster, Fusion())
