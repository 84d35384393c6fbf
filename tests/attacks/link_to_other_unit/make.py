import shutil


def make(folder, arena):
    shutil.rmtree(folder)
    folder.symlink_to(arena.submitted / "aaa_first" / "unit0_arena")
