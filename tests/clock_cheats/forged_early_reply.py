"""Bytes that look like the beginning of an answer, before the work."""

import os

from timed import honest


def power(x):
    os.write(3, b"\x05\x00\x00\x00\x00\x00\x00\x00early")
    return honest(x)
