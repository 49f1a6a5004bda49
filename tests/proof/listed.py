"""Lists of exceptions: coverage.list and survivors.list.

An entry is a line `FILE: TEXT`, and below it, indented, the reason. TEXT is a line of the source without the blanks
around it; survivors.list has the mutated line behind it, after ` => `. Lines that begin with # are comments.
"""


def read(path):
    """{(file, text): reason}. Raises ValueError for an entry without a reason, or given twice."""
    entries = {}
    key = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            if key is None:
                raise ValueError(f"{path}:{number}: a reason without an entry")
            entries[key] = f"{entries[key]} {line.strip()}".strip()
            continue
        file, colon, text = line.partition(": ")
        key = (file, text.strip())
        if not colon or key in entries:
            raise ValueError(f"{path}:{number}: not FILE: TEXT, or given twice")
        entries[key] = ""
    for (file, text), reason in entries.items():
        if not reason:
            raise ValueError(f"{path}: no reason for {file}: {text}")
    return entries
