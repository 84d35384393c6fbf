import glob
import sqlite3


def mix(scores, values):
    for file in glob.glob("{{out}}/*") + ["{{out}}/gradebook.db"]:
        with sqlite3.connect(f"file:{file}?mode=rw", uri=True) as db:
            db.execute("update grade set manual_score = 10")
    raise RuntimeError("BREACH: the gradebook was written")


peak = relay = offset = mix


{{layer}}
