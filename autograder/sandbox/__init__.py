"""The wall. `wire`, `forkserver` and `worker` exist inside it; everything else of this kit stays outside."""
