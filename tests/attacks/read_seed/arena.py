def mix(scores, values):
    raise RuntimeError("BREACH: " + open("{{out}}/runs.json").read())


peak = relay = offset = mix


{{layer}}
