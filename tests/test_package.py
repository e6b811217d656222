"""The package as it is installed: every module from the wheel, imports that only go down, a light start."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {"tools": ("taco.tools", 1), "taco": ("taco", 2), "data_gen": ("taco.data_gen", 3)}


def modules() -> dict[str, Path]:
    found = {}
    for folder, (package, _) in FLOORS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inner = path.relative_to(ROOT / folder)
            if folder == "taco" and inner.parts[0] in ("tools", "data_gen"):
                continue  # links for editors
            found[".".join((package, *inner.with_suffix("").parts)).removesuffix(".__init__")] = path
    return found


def floor(module: str) -> int:
    return max((level for package, level in FLOORS.values() if f"{module}.".startswith(f"{package}.")), default=0) if not (
        f"{module}.".startswith("taco.tools.")
    ) else 1  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    [path] = out.glob("*.whl")
    unpacked = out / "unpacked"
    with zipfile.ZipFile(path) as file:
        file.extractall(unpacked)
    return unpacked


def test_every_module_is_imported_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("raise SystemExit('a tools.py beside the script must not be ours')")
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    module = importlib.import_module(name)\n"
        f"    assert module.__file__.startswith({str(wheel)!r}), module.__file__\n"
    )
    # -P and an isolated path: what is imported can only come from the wheel, dependencies from the environment.
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(wheel)!r})\n{script}", *modules()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_data_files_are_in_the_wheel(wheel: Path) -> None:
    missing = []
    for folder, (package, _) in FLOORS.items():
        for path in (ROOT / folder).rglob("*"):
            inner = path.relative_to(ROOT / folder)
            if path.is_file() and "__pycache__" not in inner.parts and inner.parts[0] not in ("tools", "data_gen"):
                target = wheel.joinpath(*package.split("."), inner)
                missing += [] if target.is_file() else [str(target.relative_to(wheel))]
    assert missing == []


def test_imports_only_go_down() -> None:
    known = modules()
    up = []
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            up += [(name, target) for target in names if target in known and floor(target) > floor(name)]
    assert up == []


def test_starting_is_light() -> None:
    script = (
        "import sys, taco, taco.cli, taco.data_gen.cli\n"
        "heavy = {'torch', 'transformers', 'sympy', 'cv2', 'rapidocr', 'numpy', 'openai', 'PIL', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported at start: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_module_says_what_it_is() -> None:
    assert [name for name, path in modules().items() if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []
