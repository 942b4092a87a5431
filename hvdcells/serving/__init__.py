"""The server of an exported model: HTTP over ONNX Runtime, without TensorFlow, Spark or Java."""

import ipaddress

NOTICE = "Not a medical device. For research only."
SYNTHETIC = "Trained on synthetic cells: what it says of real ones means nothing."
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""Names by which a server on loopback is called."""


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a name or address to listen at."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
