"""A folder, an archive or a single file as a student's files: archives are opened as the folders they stand for."""

from collections import defaultdict
from pathlib import Path

from autograder.intake import archives
from autograder.intake.files import Entry, Listing, Parts, Unreadable, read_limit, read_regular, walk
from autograder.text import printable


def list_folder(folder: Path) -> Listing:
    """A student's folder; archives in it are opened as the folders that they stand for."""
    found = walk(folder)
    packed: dict[Parts, list[Entry]] = defaultdict(list)
    plain = []
    for entry in found.entries:
        if archives.is_archive(entry.name):
            packed[(*entry.parts[:-1], archives.stem(entry.name))].append(entry)
        elif archives.is_other_archive(entry.name):
            found.remarks.append(f"{printable(entry.path, 160)}: {archives.NOT_OPENED}")
        else:
            plain.append(entry)
    found.entries = plain
    for below, same in sorted(packed.items()):
        names = " and ".join(printable(entry.name) for entry in same)
        if below in found.folders:
            found.remarks.append(f"{names}: not read, the folder {printable(below[-1])}/ counts")
        elif len(same) > 1:
            found.remarks.append(f"{names}: more than one archive of that name, none was read")
        else:
            add_archive(found, folder.joinpath(*same[0].parts), below)
    return found


def add_archive(found: Listing, path: Path, below: Parts) -> None:
    """Add what lies in an archive as if it were the folder `below`."""
    try:
        inside = archives.unpack(path, archives.STUDENT)
    except Unreadable as error:
        found.remarks.append(f"{printable(path.name)}: {error}")
        return
    if not (inside.entries or inside.folders or inside.remarks):
        found.remarks.append(f"{printable(path.name)}: nothing that could be read is in it")
    if below:
        found.folders.add(below)
        found.opened.add(below)
    found.folders |= {(*below, *parts) for parts in inside.folders}
    found.opened |= {(*below, *parts) for parts in inside.opened}
    found.remarks += [f"{printable(path.name)}: {remark}" for remark in inside.remarks]
    found.shadows += [(*below, *parts) for parts in inside.shadows]
    found.entries += [Entry((*below, *e.parts), e.read, packed=True) for e in inside.entries]


def list_archive(path: Path, below: Parts = ()) -> Listing:
    """What lies in an archive of a student's."""
    found = Listing()
    add_archive(found, path, below)
    return found


def list_file(path: Path, name: str) -> Listing:
    """A single file, under the name that the student gave it."""
    return Listing([Entry((name,), lambda: read_regular(path, read_limit(name)))])
