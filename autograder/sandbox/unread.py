"""What to tell of a line at which Python gave up, where its own words do not help. Inside the wall."""

import re
import sys

_CONFLICT = re.compile(r"(<<<<<<<|>>>>>>>|\|\|\|\|\|\|\|) |=======$")
_OF_3_12 = re.compile(  # `type X = int`, `def f[T](x)`, and in an f-string its own quotes or a backslash
    r"""\s*type\s+\w+\s*(\[.*\]\s*)?=|\s*(async\s+)?(def|class)\s+\w+\s*\["""
    r"""|.*\b[rR]?[fF][rR]?(?P<quote>["']).*\{[^{}]*((?P=quote)|\\)[^{}]*\}"""
)


def why(said: str, line: str, version: tuple[int, ...] = sys.version_info[:2]) -> str:
    """A mark of git's, syntax of a newer Python than the one that runs the page, or what Python `said`."""
    if _CONFLICT.match(line.rstrip()):
        return f"git's mark of a conflict ({line.strip()[:7]}); resolve it and save again"
    if version < (3, 12) and _OF_3_12.match(line):
        return f"{said} (is this line Python 3.12? Python {version[0]}.{version[1]} reads this page)"
    return said
