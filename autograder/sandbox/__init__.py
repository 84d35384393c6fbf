"""The wall. What exists inside it is `INSIDE_FILES` of `mounts`; everything else of this kit stays outside."""
