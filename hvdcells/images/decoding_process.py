"""A process that decodes for another one, which it may not take down with it: `apart.py` starts it.

It is a script without imports of ours. From standard input come images, each after its length (8 bytes); to standard
output goes, for each, one byte that says what follows: `P` the pixels (type, number of axes, axes, content), `E` the
error of OpenCV (length, text), `N` nothing.
"""

import resource
import struct
import sys
from typing import BinaryIO


def serve(images: BinaryIO, answers: BinaryIO) -> None:
    """Decode until the input ends."""
    import cv2
    import numpy as np

    cv2.setNumThreads(0)
    while len(length := images.read(8)) == 8:
        content = images.read(struct.unpack("<q", length)[0])
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        except (cv2.error, MemoryError) as error:
            text = str(getattr(error, "err", "") or error or "out of memory").encode()
            answers.write(b"E" + struct.pack("<q", len(text)) + text)
        else:
            if image is None:
                answers.write(b"N")
            else:
                axes = struct.pack(f"<cB{image.ndim}q", image.dtype.char.encode(), image.ndim, *image.shape)
                answers.write(b"P" + axes)
                answers.write(np.ascontiguousarray(image).data)
        answers.flush()


if __name__ == "__main__":
    most_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)
