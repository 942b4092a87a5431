"""Properties of a predicted step, and the recursion over buffers against a simulation in small ticks."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cluster_model.cluster import Cluster, Link
from benchmarks.cluster_model.gradients import Gradient, Gradients, spread_evenly
from benchmarks.cluster_model.step import Fusion, Workload, packed, predict, reduced_seconds

links = st.builds(Link, st.floats(0, 1e-4), st.floats(1e8, 1e11))
clusters = st.builds(Cluster, st.integers(1, 64), st.integers(1, 8), links, links, st.booleans())
sizes = st.lists(st.floats(1e3, 5e8), min_size=1, max_size=30)
gradients = sizes.map(lambda found: Gradients(tuple(Gradient(size, 1 / len(found)) for size in found)))
workloads = st.builds(Workload, gradients, st.integers(1, 256), st.floats(10, 1e4), st.floats(0, 0.1))
fusions = st.builds(Fusion, st.floats(1e6, 1e9), st.floats(0, 0.01), st.booleans())


@given(workloads, clusters, fusions)
def test_a_step_is_no_faster_than_computing_and_no_slower_than_one_thing_after_the_other(workload, cluster, fusion):
    found = predict(workload, cluster, fusion)
    assert 0 < found.efficiency <= 1
    assert found.images_per_second <= cluster.num_gpus * workload.images_per_second * (1 + 1e-9)
    buffers = [cluster.allreduce_seconds(layer.num_bytes) for layer in workload.gradients.layers]
    computing = workload.compute_seconds + found.waiting_seconds
    looks = fusion.cycle_seconds * len(buffers)
    assert found.step_seconds <= (computing + sum(buffers) + looks) * (1 + 1e-9)


@given(workloads, clusters, fusions, st.floats(1, 100))
def test_all_gradients_at_once_never_gain_from_a_slower_network(workload, cluster, fusion, factor):
    fusion = replace(fusion, overlap=False)
    link = cluster.network
    slower = replace(cluster, network=Link(link.latency_seconds * factor, link.bytes_per_second / factor))
    assert predict(workload, slower, fusion).efficiency <= predict(workload, cluster, fusion).efficiency * (1 + 1e-9)


@given(workloads, clusters, st.floats(1, 100))
def test_with_overlap_a_slower_network_gains_nothing(workload, cluster, factor):
    """Every gradient by itself: with fusion, a slower network packs better and may win a little."""
    alone = Fusion(buffer_bytes=1, cycle_seconds=0)
    link = cluster.network
    slower = replace(cluster, network=Link(link.latency_seconds * factor, link.bytes_per_second / factor))
    assert predict(workload, slower, alone).efficiency <= predict(workload, cluster, alone).efficiency * (1 + 1e-9)


@given(workloads, clusters)
def test_overlap_is_never_slower_when_latency_costs_nothing(workload, cluster):
    free = replace(
        cluster,
        network=replace(cluster.network, latency_seconds=0),
        in_host=replace(cluster.in_host, latency_seconds=0),
    )
    with_overlap = predict(workload, free, Fusion(cycle_seconds=0))
    without = predict(workload, free, Fusion(cycle_seconds=0, overlap=False))
    assert with_overlap.step_seconds <= without.step_seconds * (1 + 1e-9)


@given(st.builds(Workload, gradients, st.integers(1, 256), st.floats(10, 1e4)), st.integers(1, 512))
def test_a_free_network_and_equal_ranks_scale_perfectly(workload, num_hosts):
    free = Link(0, float("inf"))
    assert predict(workload, Cluster(num_hosts, 4, free, free), Fusion(cycle_seconds=0)).efficiency == pytest.approx(1)


@given(workloads, clusters)
def test_more_jitter_never_helps(workload, cluster):
    calm = predict(replace(workload, jitter=0), cluster, Fusion(overlap=False))
    assert predict(workload, cluster, Fusion(overlap=False)).efficiency <= calm.efficiency * (1 + 1e-9)


def test_one_gpu_trains_at_its_own_rate():
    workload = Workload(spread_evenly(1e8), 64, 100, jitter=0.05)
    found = predict(workload, Cluster(1, 1, Link(1, 1)), Fusion())
    assert found.efficiency == 1
    assert found.images_per_second == 100


def test_slow_input_decides_on_all_clusters_alike():
    workload = Workload(spread_evenly(1e6), 64, 100, input_images_per_second=40)
    for num_hosts in (1, 8, 64):
        found = predict(workload, Cluster(num_hosts, 1, Link(1e-6, 1e10)), Fusion())
        assert found.images_per_second == pytest.approx(40 * num_hosts)
        assert found.efficiency == pytest.approx(1)


def test_ring_matches_its_formula_by_hand():
    # 4 members, 8 MB: 6 rounds of 2 MB at 1 GB/s and 1 ms.
    assert Link(1e-3, 1e9).ring_seconds(8e6, 4) == pytest.approx(6 * (1e-3 + 2e-3))


def test_a_hierarchical_ring_has_fewer_rounds_on_the_network_and_moves_as_much():
    network, in_host = Link(1e-3, 1e9), Link(0, 1e12)
    flat = Cluster(16, 4, network, in_host)
    assert replace(flat, hierarchical=True).allreduce_seconds(4) == pytest.approx(2 * 15 * 1e-3, rel=1e-3)
    assert flat.allreduce_seconds(4) == pytest.approx(2 * 63 * 1e-3, rel=1e-3)
    large = 1e12
    assert replace(flat, hierarchical=True).allreduce_seconds(large) == pytest.approx(
        flat.allreduce_seconds(large), rel=0.05
    )


def test_one_host_does_not_touch_the_network():
    assert Cluster(1, 4, Link(1, 1), Link(0, 1e9)).allreduce_seconds(4e9) == pytest.approx(6)


def test_buffers_fill_up_in_order_and_large_gradients_travel_alone():
    assert packed([10, 20, 100, 5, 5, 60], 64) == [30, 100, 10, 60]


def simulated(ready, allreduce_seconds, fusion, tick):
    """The same rules, told as a state machine that time passes over tick by tick."""
    clock, waiting, sending, next_look, reduced = 0.0, list(ready), [], 0.0, 0.0
    while waiting or sending:
        clock += tick
        while sending and sending[0] <= clock:
            reduced = sending.pop(0)
        if sending or clock < next_look:
            continue
        there = [size for seconds, size in waiting if seconds <= clock]
        if not there:
            continue
        waiting = [(seconds, size) for seconds, size in waiting if seconds > clock]
        next_look, end, buffer = clock + fusion.cycle_seconds, clock, 0.0
        for size in [*there, None]:
            if buffer and (size is None or buffer + size > fusion.buffer_bytes):
                end += allreduce_seconds(buffer)
                sending.append(end)
                buffer = 0.0
            buffer += size or 0.0
    return reduced


@pytest.mark.parametrize("cycle_seconds", [0.001, 0.005, 0.05])
@pytest.mark.parametrize("num_hosts", [2, 16, 128])
def test_the_recursion_agrees_with_a_simulation(num_hosts, cycle_seconds):
    cluster = Cluster(num_hosts, 4, Link(2e-5, 2.5e9))
    found = Gradients(tuple(Gradient(num_bytes, 1 / 6) for num_bytes in (4e8, 6.7e7, 1.6e7, 9e6, 2e6, 7e3)))
    ready = found.ready(0.49)
    fusion = Fusion(cycle_seconds=cycle_seconds)
    by_ticks = simulated(ready, cluster.allreduce_seconds, fusion, tick=2e-5)
    # A tick is lost at every look.
    assert reduced_seconds(ready, cluster.allreduce_seconds, fusion) == pytest.approx(by_ticks, abs=2e-4)
