{{layer}}


import sys

sys.path += ["{{root}}", "{{root}}/reference/unit0_arena"]
from pathlib import Path

from autograder.course import load_course
from autograder.grading.references import load_reference

reference = load_reference(load_course(Path("{{root}}")), "unit0_arena", "arena")
mix, peak, relay, offset = reference.mix, reference.peak, reference.relay, reference.offset
