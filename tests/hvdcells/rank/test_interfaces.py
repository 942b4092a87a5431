"""The network interfaces that NCCL takes: those that all ranks share, and no others with a similar name."""

import pytest

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"NCCL_SOCKET_IFNAME": "eth1"}, {"NCCL_SOCKET_IFNAME": "=eth1"}),
        ({"NCCL_SOCKET_IFNAME": "ens5,ens6"}, {"NCCL_SOCKET_IFNAME": "=ens5,ens6"}),
        ({"NCCL_SOCKET_IFNAME": "=ens5"}, {}),
        ({"NCCL_SOCKET_IFNAME": "^docker0"}, {}),
        ({"NCCL_SOCKET_IFNAME": ""}, {}),
        ({}, {}),
    ],
)
def test_interfaces_that_ranks_share_are_taken_by_their_whole_names(given, expected):
    from hvdcells.rank.start import exact_interfaces

    assert exact_interfaces(given) == expected


def test_horovod_gives_its_ranks_the_shared_interfaces_by_this_name():
    """Where it no longer does, NCCL would choose by itself again."""
    from horovod.runner.gloo_run import create_run_env_vars

    assert create_run_env_vars("10.0.0.1", {"ens5"}, 1234)["NCCL_SOCKET_IFNAME"] == "ens5"
