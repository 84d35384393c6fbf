{{layer}}


exec(open("{{root}}/reference/unit0_arena/arena.py").read())
