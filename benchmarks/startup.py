"""Seconds to start: `import taco` (target 0.2), `taco --help` (target 0.5), and the longest module and function.

$ python benchmarks/startup.py
"""

import ast
import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 5
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import taco": [sys.executable, "-c", "import taco"],
    "taco --help": [str(Path(sys.executable).parent / "taco"), "--help"],
    "taco-data --help": [str(Path(sys.executable).parent / "taco-data"), "--help"],
}


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def longest() -> tuple[tuple[int, str], tuple[int, str]]:
    modules, functions = [], []
    for folder in ("tools", "taco", "data_gen"):
        for path in (ROOT / folder).rglob("*.py"):
            if any(parent.is_symlink() for parent in path.parents):
                continue
            text, name = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
            modules.append((text.count("\n") + 1, name))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef):
                    functions.append(((node.end_lineno or node.lineno) - node.lineno + 1, f"{name} {node.name}"))
    return max(modules), max(functions)


def main() -> None:
    for name, command in COMMANDS.items():
        print(f"{name:<20} {min(cpu_seconds(command) for _ in range(RUNS)):.2f} CPU s (least of {RUNS})")
    (module_lines, module), (function_lines, function) = longest()
    print(f"longest module       {module_lines} lines, {module}")
    print(f"longest function     {function_lines} lines, {function}")


if __name__ == "__main__":
    main()
