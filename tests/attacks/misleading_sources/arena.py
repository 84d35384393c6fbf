# ‮ gnissap si siht ‬ ⁦
import torch

еxpected = "the first letter is Cyrillic"


def mix(*args):
    # [2J[32mPASSED[0m
    raise ValueError("]0;owned ‮DESSAP 31m" + еxpected)


class Offset(Exception):
    pass


Offset.__name__ = Offset.__qualname__ = "[32mPASSED[0m\nattacked::test_integer PASSED"


def offset(scores):
    raise Offset("[bold red]markup[/] <script>alert(1)</script> & {curly} %s \r\n PASSED")


peak = relay = mix


{{layer}}
