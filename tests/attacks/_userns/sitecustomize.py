"""On the path of a grader that is to find itself without the rights of root: it then uses a user namespace."""

import os

os.geteuid = lambda: 65534
