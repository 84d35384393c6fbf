{{layer}}


exec(open("{{root}}/solutions/unit0_arena/arena.py").read())
