"""Judge an export of llvm-cov: coverage.py EXPORT.json EXCEPTIONS. Called by coverage.sh."""
import collections
import json
import pathlib
import sys

import listed

TOP = pathlib.Path(__file__).parent.parent.parent
FOLDERS = ("src/policy/", "src/config/")


def source_files(export):
    """(name, what llvm-cov says of it). Names come without the path of the source tree, see CMakeLists.txt."""
    for file in export["data"][0]["files"]:
        name = file["filename"].removeprefix("build/coverage/")
        if name.startswith(FOLDERS) and file["summary"]["lines"]["count"] > 0:
            yield name, file


def text_at(lines, first_line, first_column, last_line, last_column):
    part = lines[first_line - 1:last_line]
    part[-1] = part[-1][:last_column - 1]
    part[0] = part[0][first_column - 1:]
    return " ".join(line.strip() for line in part)


def missed(lines, file):
    """(line number, what was not seen) for each branch and condition."""
    for *place, taken, passed, _, _, _ in file["branches"]:
        is_switch = lines[place[0] - 1][:place[1] - 1].endswith("switch (")
        for count, outcome in ((taken, "without a case" if is_switch else "true"), (passed, "false")):
            if count == 0:
                yield place[0], f"never {outcome}: {text_at(lines, *place)}"
    for *place, _, _, conditions in file["mcdc_records"]:
        for number, shown in enumerate(conditions, 1):
            if not shown:
                yield place[0], f"condition {number} never decides alone: {text_at(lines, *place)}"


def main():
    export = json.loads(pathlib.Path(sys.argv[1]).read_text())
    exceptions = listed.read(pathlib.Path(sys.argv[2]))
    used = set()
    faults = []

    calls = collections.Counter()  # an inline function of a header is in several sources, named SOURCE:FUNCTION
    for function in export["data"][0]["functions"]:
        calls[(function["filenames"][0].removeprefix("build/coverage/"),
               function["name"].rpartition(":")[2])] += function["count"]
    faults += [f"{name}: {function} is never called" for (name, function), count in calls.items()
               if count == 0 and name.startswith(FOLDERS)]
    print(f"{'file':32}{'lines':>12}{'branches':>12}{'MC/DC':>12}")
    for name, file in sorted(source_files(export)):
        lines = (TOP / name).read_text().splitlines()
        summary = file["summary"]
        print(f"{name:32}" + "".join(f"{summary[what]['covered']:>7}/{summary[what]['count']:<4}"
                                     for what in ("lines", "branches", "mcdc")))
        for number, what in sorted(missed(lines, file)):
            entry = (name, lines[number - 1].strip())
            if entry not in exceptions:
                faults.append(f"{name}:{number}: {what}")
            elif sum(line.strip() == entry[1] for line in lines) > 1:
                faults.append(f"{name}:{number}: this line stands there twice, so it cannot be listed")
            used.add(entry)
    faults += [f"coverage.list: {file}: {text}: is covered, or is not there"
               for file, text in exceptions if (file, text) not in used]
    print(f"{len(exceptions)} listed, {len(faults)} faults")
    print("\n".join(sorted(set(faults))))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
