"""Entries that are called by their name."""

import sys
import time

IMPORTED = time.time()


def what_it_got(argument, called):
    return argument, called, IMPORTED


def has_tensorflow(_, _called):
    return "tensorflow" in sys.modules
