"""All that reaches into Horovod 0.28.1: `applied()` makes these changes for the time of a job, and undoes them.

rendezvous.gloo_not_probed
    why       To see whether gloo is built, a fork of the driver imports TensorFlow: seconds, and it can hang.
    upstream  `run_controller` takes the word of who chose gloo.
rendezvous.reachable_interfaces
    why       Ranks that share another host than the driver's look for it on their own loopback, and die.
    upstream  `SparkDriverService.get_common_interfaces` compares with the driver's own.
ports.served_at, ports.tasks_guard_their_ports
    why       On one machine, too, services and rendezvous listen on all interfaces.
    upstream  `find_port` takes the address of the interfaces that were chosen.
ports.bounded_messages
    why       A service reads up to 2 GB before it looks at who has sent it.
    upstream  `Wire.read` has a limit.
ports.rendezvous_by_token
    why       Anybody may write and delete where ranks find each other.
    upstream  `RendezvousServer` and `HTTPStore` share a token.
task_lifetime.tasks_end_with_their_rank
    why       Every job waits three seconds in vain.
    upstream  `SparkTaskService._run_command` starts its clock before the command.
    why       Tasks hold semaphores for up to a second after their command; Python reports them as leaked.
    upstream  `safe_shell_exec.execute` ends and joins the threads it has started.
    why       Threads that read a rank's streams die with a trace when it speaks while it is ended.
    upstream  `prefix_connection` ends when its stream is closed.
termination.ranks_end_together
    why       A rank that waits for a first connection from one that has failed waits for minutes.
    upstream  `horovod.spark.gloo_run` sets an event for all when one fails, as `horovod.runner.gloo_run` does.
    why       SIGINT and SIGTERM are never the driver's own again.
    upstream  `launch_gloo` puts the handlers back.
supervision.job_in_sight
    why       A job that is to end waits for what may never answer: a stopped task, a host that is cut off, a Spark job
              that is cancelled before Spark knows it.
    upstream  `run` cancels until the job has ended, and requests of its clients have time limits.
termination.no_trace_of_cancelled_job
    why       The trace of the Spark job that Horovod itself cancels hides the reason from the screen.
    upstream  `run_spark` hands its exception to `run`.
worker_output.unbuffered_output
    why       What a rank prints is seen when it is 64 KB.
    upstream  `BasicClient` hands on what `read1` gives.

`docs/internals.md` lists these and what reaches into other libraries, with the tests that tell when one is not needed.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from hvdcells.spark.horovod_changes.patching import refuse_other_release
from hvdcells.spark.horovod_changes.ports import (
    LOOPBACK,
    bounded_messages,
    carry_token,
    loopback_names,
    rendezvous_by_token,
    served_at,
    tasks_guard_their_ports,
)
from hvdcells.spark.horovod_changes.rendezvous import gloo_not_probed, reachable_interfaces
from hvdcells.spark.horovod_changes.supervision import job_in_sight, run_supervised
from hvdcells.spark.horovod_changes.task_lifetime import tasks_end_with_their_rank
from hvdcells.spark.horovod_changes.termination import Ending, no_trace_of_cancelled_job, ranks_end_together
from hvdcells.spark.horovod_changes.worker_output import WorkerOutput, unbuffered_output

__all__ = [
    "Ending",
    "WorkerOutput",
    "applied",
    "carry_token",
    "loopback_names",
    "refuse_other_release",
    "run_supervised",
]


@contextmanager
def applied(is_local: bool = True) -> Iterator[Ending]:
    """Inside the block, `horovod.spark.run` behaves as the table above has it; one job of a process at a time.

    Args:
        is_local: all ranks run on the driver's machine.

    Yields:
        Why the job ended, if before its time; to be read when `horovod.spark.run` has raised.

    Raises:
        UserError: this is not the release of Horovod that the changes are for.
    """
    refuse_other_release()
    with (
        gloo_not_probed(),
        reachable_interfaces(),
        served_at(LOOPBACK) if is_local else nullcontext(),
        bounded_messages(),
        tasks_guard_their_ports(is_local),
        rendezvous_by_token(),
        tasks_end_with_their_rank(),
        unbuffered_output(),
        no_trace_of_cancelled_job(),
        ranks_end_together() as ending,
        job_in_sight(ending),
    ):
        yield ending
