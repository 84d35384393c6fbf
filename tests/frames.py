"""What the tests of the wire send: frames as a worker would write them."""

import struct


def frame(header: bytes, payload: bytes = b"") -> bytes:
    """The bytes of one frame around a header and a payload."""
    return struct.pack("<II", len(header), len(payload)) + header + payload
