{{layer}}


exec(open("{{submitted}}/aaa_first/unit0_arena/arena.py").read())
