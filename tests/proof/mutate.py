"""Mutants of src/policy: every small change of the code must be noticed by a test. Called by mutation.sh.

clang gives the syntax tree, so that a mutant is an exact piece of the source and what stands there instead. Each one
is compiled alone and linked with the unchanged objects into a shared library, and the unit tests, which were built
once against that library, run until one of them fails, crashes, or takes far more CPU time than it did before. What
they do not notice the simulator may. Where the compiler makes the same optimised code of a mutant as of the original,
there is nothing to notice. The rest must stand in survivors.list with the reason why it is equivalent.
"""
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import listed

TOP = pathlib.Path(__file__).parent.parent.parent
POLICY = TOP / "src/policy"
BUILD = TOP / "build/mutation"
ORIGINAL = BUILD / "original"  # without a mutant
SURVIVORS = TOP / "tests/proof/survivors.list"

COMPILE = ["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-w", "-fPIC"]
# UBSan ends the test at an index behind its array and the like.
TESTED = ["-O0", "-fsanitize=bounds,shift,integer-divide-by-zero", "-fsanitize-undefined-trap-on-error"]
COMPARED = ["-O2"]

REPLACED = {
    "relation": {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)},
    "logic": {"&&": ("||",), "||": ("&&",)},
    "arithmetic": {
        "+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",), "%": ("*",), "<<": (">>",), ">>": ("<<",),
        "&": ("|",), "|": ("&",), "^": ("|",), "+=": ("-=",), "-=": ("+=",), "*=": ("/=",), "/=": ("*=",),
        "<<=": (">>=",), ">>=": ("<<=",), "&=": ("|=",), "|=": ("&=",), "^=": ("|=",)},
}
KINDS = (*REPLACED, "condition", "constant", "removal", "return")
SLOW_SECONDS = 0.5  # a test that takes longer is only for what the others do not notice
STATEMENTS = ("BinaryOperator", "CompoundAssignOperator", "UnaryOperator", "CallExpr", "BreakStmt", "ContinueStmt")

# file: its name in src/policy; begin, end: bytes of it; new: what stands there instead.
Mutant = collections.namedtuple("Mutant", "file function begin end new kind")
Test = collections.namedtuple("Test", "command seconds")


class Finder:
    """Walks the syntax tree of one source and collects its mutants, those of headers of ours included."""

    def __init__(self, source):
        command = ["clang-19", "-std=gnu11", "-w", "-fsyntax-only", f"-I{TOP / 'src'}", "-Xclang", "-ast-dump=json"]
        tree = subprocess.run([*command, source], check=True, capture_output=True, text=True).stdout
        self.file = ""  # clang prints it only where it changes
        self.texts = {}
        self.function = None
        self.mutants = []
        self.walk(json.loads(tree))

    def locate(self, place):
        """(begin, end) of the token at a place; of the macro's name, if the token comes from one."""
        for part in (place.get("spellingLoc", {}), place.get("expansionLoc", {}), place):
            self.file = part.get("file", self.file)
        place = place.get("expansionLoc", place)
        return place.get("offset", 0), place.get("offset", 0) + place.get("tokLen", 0)

    def walk(self, node):
        """In the order in which clang prints, so that the file is known."""
        outer = self.function
        self.locate(node.get("loc", {}))
        node["begin"] = self.locate(node.get("range", {}).get("begin", {}))[0]
        node["end"] = self.locate(node.get("range", {}).get("end", {}))[1]
        node["file"] = self.file
        if node["kind"] == "FunctionDecl":
            self.function = node if pathlib.Path(self.file).parent == POLICY else None
        inner = [child for child in node.get("inner", []) if "kind" in child]
        for number, child in enumerate(inner):
            inside = self.function
            if node["kind"] == "CaseStmt" and number == 0:
                self.function = None  # a label that is changed does not compile, or says nothing
            self.walk(child)
            self.function = inside
        if self.function:
            self.visit(node, inner)
        self.function = outer

    def text(self, begin, end):
        file = self.function["file"]
        if file not in self.texts:
            self.texts[file] = pathlib.Path(file).read_text()
        return self.texts[file][begin:end]

    def replace(self, kind, begin, end, new):
        name = pathlib.Path(self.function["file"]).name
        self.mutants.append(Mutant(name, self.function["name"], begin, end, new, kind))

    def replace_node(self, kind, node, *news):
        for new in news:
            self.replace(kind, node["begin"], node["end"], new)

    def visit(self, node, inner):
        kind = node["kind"]
        if kind in ("BinaryOperator", "CompoundAssignOperator"):
            self.visit_operator(node, *inner)
        elif kind == "UnaryOperator":
            self.visit_sign(node, inner[0])
        elif kind in ("IfStmt", "ConditionalOperator"):
            self.replace_node("condition", inner[0], "1", "0")
        elif kind == "WhileStmt":
            self.replace_node("condition", inner[0], "0")
        elif kind == "ForStmt" and "kind" in node["inner"][2]:
            self.replace_node("condition", node["inner"][2], "0")
        elif kind in ("IntegerLiteral", "DeclRefExpr"):
            self.visit_constant(node)
        elif kind == "InitListExpr":
            self.visit_initializers(inner)
        elif kind == "ReturnStmt":
            self.visit_return(node, inner)
        self.visit_statements(node, inner)

    def visit_operator(self, node, left, right):
        between = self.text(left["end"], right["begin"])
        if between.strip() != node["opcode"]:
            return  # within a macro
        for kind, table in REPLACED.items():
            for new in table.get(node["opcode"], ()):
                self.replace(kind, left["end"], right["begin"], between.replace(node["opcode"], new))
        if node["opcode"] in ("&&", "||"):  # one of its sides alone
            self.replace_node("condition", node, self.text(left["begin"], left["end"]),
                              self.text(right["begin"], right["end"]))

    def visit_sign(self, node, operand):
        text = self.text(node["begin"], node["end"])
        if node["opcode"] in ("++", "--"):
            self.replace_node("arithmetic", node, text.replace(*{"++": ("++", "--"), "--": ("--", "++")}[node["opcode"]]))
        elif node["opcode"] in ("!", "-", "~"):
            self.replace_node("logic" if node["opcode"] == "!" else "arithmetic", node, text[1:])

    def visit_constant(self, node):
        text = self.text(node["begin"], node["end"])
        if text in ("true", "false"):
            self.replace_node("constant", node, "false" if text == "true" else "true")
        elif node["kind"] == "IntegerLiteral" or node["referencedDecl"]["kind"] == "EnumConstantDecl":
            self.replace_node("constant", node, f"({text} + 1)", *[f"({text} - 1)"] * (text != "0"))

    def visit_initializers(self, values):
        for value in values:
            if not value["kind"].startswith(("ImplicitValue", "InitList")):
                self.replace_node("removal", value, *["0"] * (self.text(value["begin"], value["end"]) not in ("0", "")))

    def visit_return(self, node, inner):
        result = self.function["type"]["qualType"].split("(")[0].strip()
        if not inner:
            self.replace_node("removal", node, "(void)0")
        elif result in ("bool", "_Bool"):
            self.replace_node("return", inner[0], "true", "false")
        elif result.startswith("struct ") and not result.endswith("*"):
            self.replace_node("return", inner[0], f"({result}){{ 0 }}")
        else:
            self.replace_node("return", inner[0], "0")

    def visit_statements(self, node, inner):
        """Expressions and jumps that are statements of their own."""
        bodies = {"CompoundStmt": 0, "IfStmt": 1, "WhileStmt": 1, "ForStmt": -1, "CaseStmt": 1}
        for statement in inner[bodies[node["kind"]]:] if node["kind"] in bodies else ():
            if statement["kind"] in STATEMENTS:
                self.replace_node("removal", statement, "(void)0")


def find_mutants(sources):
    """All mutants of the sources, each once, those that change nothing left out."""
    found = {}
    for source in sources:
        finder = Finder(source)
        for mutant in finder.mutants:
            text = (POLICY / mutant.file).read_text()
            if text[mutant.begin:mutant.end] != mutant.new:
                found.setdefault((mutant.file, mutant.begin, mutant.end, mutant.new), mutant)
    return sorted(found.values())


def describe(mutant):
    """(file, `function: line => mutated line`), as survivors.list has it, and the line's number."""
    text = (POLICY / mutant.file).read_text()
    first = text.rfind("\n", 0, mutant.begin) + 1
    last = text.find("\n", mutant.end)
    join = lambda part: " ".join(part.split())
    old = join(text[first:last])
    new = join(text[first:mutant.begin] + mutant.new + text[mutant.end:last])
    return (f"src/policy/{mutant.file}", f"{mutant.function}: {old} => {new}"), text.count("\n", 0, mutant.begin) + 1


def succeeds(command, **more):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                          **more).returncode == 0


class Bench:
    """A folder with a copy of src/policy, in which one mutant at a time is built and tried."""

    def __init__(self, folder, tests):
        self.folder = folder
        self.quick = [test for test in tests if test.seconds < SLOW_SECONDS]  # the last that failed comes first
        self.slow = [test for test in tests if test.seconds >= SLOW_SECONDS]
        self.sources = sorted(source.name for source in POLICY.glob("*.c"))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(POLICY, folder / "policy")

    def compile(self, names, options, suffix):
        return all(succeeds([*COMPILE, *options, f"-I{self.folder}", "-c", self.folder / "policy" / name,
                             "-o", self.folder / (name + suffix)]) for name in names)

    def link(self, names):
        """The library of the named sources as they are here, and of the others as they are in ORIGINAL."""
        objects = [(self.folder if name in names else ORIGINAL) / (name + ".o") for name in self.sources]
        return succeeds(["gcc", "-shared", "-nostdlib", "-o", self.folder / "libpolicy.so", *objects])

    def build(self):
        """All that a mutant is compared with. Only for ORIGINAL."""
        return (self.compile(self.sources, TESTED, ".o") and self.compile(self.sources, COMPARED, ".optimised.o") and
                self.link(self.sources))

    def same_code(self, names):
        """Whether the compiler makes the same of the mutant."""
        read = lambda folder: [(folder / (name + ".optimised.o")).read_bytes() for name in names]
        return self.compile(names, COMPARED, ".optimised.o") and read(self.folder) == read(ORIGINAL)

    def run(self, test):
        # A limit of its CPU time, behind which SIGPROF ends it.
        limit = lambda: signal.setitimer(signal.ITIMER_PROF, 0.2 + 5 * test.seconds)
        return succeeds(test.command, preexec_fn=limit, env={"LD_LIBRARY_PATH": str(self.folder)}, cwd=self.folder)

    def outcome(self, names, is_listed):
        """'killed', 'same', 'survived', or 'invalid' when it does not compile."""
        if not self.compile(names, TESTED, ".o") or not self.link(names):
            return "invalid"
        for number, test in enumerate(self.quick):
            if not self.run(test):
                self.quick.insert(0, self.quick.pop(number))
                return "killed"
        if self.same_code(names):
            return "same"
        return "survived" if is_listed or all(self.run(test) for test in self.slow) else "killed"

    def try_mutant(self, mutant, is_listed):
        file = self.folder / "policy" / mutant.file
        text = file.read_text()
        file.write_text(text[:mutant.begin] + mutant.new + text[mutant.end:])
        outcome = self.outcome(self.sources if mutant.file.endswith(".h") else [mutant.file], is_listed)
        file.write_text(text)
        return outcome


def build_program(name, sources, archives=(), libraries=()):
    """A program that takes src/policy from libpolicy.so."""
    program = BUILD / name
    subprocess.run([*COMPILE, "-O1", f"-I{TOP / 'src'}", f"-I{TOP / 'include'}", f"-I{TOP / 'tests'}", *sources,
                    "-o", program, *archives, f"-L{ORIGINAL}", "-lpolicy", *libraries], check=True)
    return program


def build_simulator():
    """A short run of it. What it has besides src/policy comes from a build of its own."""
    cmake = BUILD / "cmake"
    for command in (["cmake", "--preset", "dev", "-B", cmake],
                    ["cmake", "--build", cmake, "--target", "trimtab_sim", "trimtab_config"]):
        subprocess.run(command, cwd=TOP, check=True, capture_output=True)
    sources = [source for source in (TOP / "tests/sim").glob("*.c") if not source.name.startswith("test_")]
    archives = [cmake / "lib/libtrimtab_sim.a", cmake / "lib/libtrimtab_config.a"]
    return [build_program("sim", sources, archives, ["-linih", "-lcap", "-lm"]), "--seed", "1", "--steps", "1000000"]


def build_tests(bench):
    """The unit tests of src/policy and the simulator, the quickest first. One that fails ends it all."""
    names = re.findall(r"^unit_test\((\w+) trimtab_policy", (TOP / "tests/CMakeLists.txt").read_text(), re.M)
    commands = [[build_program(f"test_{name}", [TOP / f"tests/unit/test_{name}.c"], libraries=["-lcmocka"])]
                for name in names] + [build_simulator()]
    tests = []
    for command in commands:
        begin = time.monotonic()
        if not bench.run(Test(command, 60)):
            sys.exit(f"{command[0].name} fails without a mutant")
        tests.append(Test(command, time.monotonic() - begin))
    return sorted(tests, key=lambda test: test.seconds)


def start_worker(tests):
    global worker
    worker = Bench(BUILD / f"worker-{os.getpid()}", tests)


def try_mutant(mutant, is_listed):
    return worker.try_mutant(mutant, is_listed)


def print_table(results):
    """Killed of all, by file and kind."""
    print(f"{'killed of':14}" + "".join(f"{kind:>13}" for kind in (*KINDS, "all")))
    for file in (*sorted({mutant.file for mutant, _ in results}), "all"):
        counts = ""
        for kind in (*KINDS, "all"):
            outcomes = [outcome for mutant, outcome in results
                        if file in (mutant.file, "all") and kind in (mutant.kind, "all")]
            counts += f"{outcomes.count('killed'):>8}/{len(outcomes):<4}"
        print(f"{file:14}{counts}")


def main():
    begin = time.monotonic()
    names = sys.argv[1:] or [source.name for source in sorted(POLICY.glob("*.[ch]"))]
    names = [pathlib.Path(name).name for name in names]
    reasons = listed.read(SURVIVORS)
    for folder in BUILD.glob("worker-*"):
        shutil.rmtree(folder)
    BUILD.mkdir(parents=True, exist_ok=True)
    original = Bench(ORIGINAL, [])
    if not original.build():
        sys.exit("src/policy does not compile")
    tests = build_tests(original)
    mutants = [mutant for mutant in find_mutants(sorted(POLICY.glob("*.c"))) if mutant.file in names]
    are_listed = [describe(mutant)[0] in reasons for mutant in mutants]
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), initializer=start_worker, initargs=(tests,)) as pool:
        outcomes = pool.map(try_mutant, mutants, are_listed, chunksize=8)
        results = [(mutant, outcome) for mutant, outcome in zip(mutants, outcomes) if outcome != "invalid"]
    print_table(results)

    survivors = {mutant: describe(mutant) for mutant, outcome in results if outcome == "survived"}
    keys = {key for key, _ in survivors.values()}
    faults = [f"{key[0]}:{line}: {mutant.kind} survived: {key[1]}"
              for mutant, (key, line) in survivors.items() if key not in reasons]
    faults += [f"survivors.list: {file}: {text}: is killed, or is not there" for file, text in reasons
               if (file, text) not in keys and pathlib.Path(file).name in names]
    counts = collections.Counter(outcome for _, outcome in results)
    print(f"{len(results)} mutants: {counts['killed']} killed, {counts['same']} of the same code, "
          f"{counts['survived']} survived, {len(faults)} faults; {time.monotonic() - begin:.0f} s")
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
