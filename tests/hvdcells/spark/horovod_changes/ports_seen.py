"""An entry of ranks: what of the job's ports can be seen, and done, from one of them."""

import os
import urllib.error
import urllib.request

import horovod.tensorflow as hvd
import psutil
import tensorflow as tf

from hvdcells.spark.horovod_changes.ports import ADDRESS, PORT


def seen_from_a_rank(_argument, _called):
    hvd.init()
    hvd.allreduce(tf.zeros(1))
    driver = next(each for each in psutil.Process().parents() if "seen_from_a_rank" in " ".join(each.cmdline()))
    listening = [
        connection.laddr.ip.removeprefix("::ffff:")
        for process in [driver, *driver.children(recursive=True)]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    host, port = os.environ[ADDRESS].partition(":")[0], os.environ[PORT]
    with_token = f"{os.environ[ADDRESS]}:{port}"
    hvd.allreduce(tf.zeros(1))
    return {
        "listening": listening,
        "without token": status_of("PUT", f"http://{host}:{port}/global/0"),
        "with token": status_of("GET", f"http://{with_token}/global/none"),
    }


def status_of(method, address):
    """Return the status with which a request is answered."""
    request = urllib.request.Request(address, data=b"x" if method == "PUT" else None, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
