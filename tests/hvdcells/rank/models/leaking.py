"""A model whose code prints and raises secrets of its process's environment."""

import os
import sys


def model(input_size):
    secret, signature = os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["PLANTED_SIGNATURE"]
    for stream in (sys.stdout, sys.stderr):
        stream.write(f"the key is {secret}\n")
    raise RuntimeError(f"403 at https://b.s3.amazonaws.com/k?X-Amz-Signature={signature}: {secret}")
