"""Is anything lost or doubled when a run is killed, again and again, at any moment?

$ python benchmarks/resume.py [--n 1000] [--kills 100] [--family prices] [--out out/resume]

The command runs once undisturbed; then again into another folder, killed (SIGKILL, its workers not) after a random number of
traces, until it was killed so often; then once to its end. All files of both folders must be equal. Exit code 1 if they are not.
Workers have a minute to end after their parent.
"""

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path


def start(arguments: argparse.Namespace, out: Path) -> subprocess.Popen[bytes]:
    command = [str(Path(sysconfig.get_path("scripts")) / "taco-data"), "generate", "--family", arguments.family]
    command += ["--n", str(arguments.n), "--seed", "7", "--workers", str(arguments.workers), "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def kept(folder: Path) -> int:
    file = folder / "progress.jsonl"
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    return int(json.loads(whole[-1])["kept"]) if whole else 0


def timed(arguments: argparse.Namespace, out: Path) -> float:
    begun = time.perf_counter()
    start(arguments, out).communicate()
    return time.perf_counter() - begun


def kill_at_random(arguments: argparse.Namespace, out: Path, rng: random.Random) -> int:
    """Start and kill until it was done so often, or the run is over; returns how often."""
    for count in range(arguments.kills):
        # By what lies in the folder, so that kills are spread over the whole run however busy the machine is.
        goal = kept(out) + rng.uniform(0, 1.6 * arguments.n / arguments.kills)
        run = start(arguments, out)
        while kept(out) < goal and run.poll() is None:
            time.sleep(rng.uniform(0, 0.05))
        if run.poll() is not None:
            return count
        run.kill()
        run.communicate(timeout=60)  # workers have its output, too: that ends when the last of them did
    return int(arguments.kills)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--family", default="prices")
    parser.add_argument("--out", type=Path, default=Path("out/resume"))
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    whole, killed = arguments.out / "whole", arguments.out / "killed"

    seconds = timed(arguments, whole)
    kills = kill_at_random(arguments, killed, random.Random(0))
    before = kept(killed)
    start(arguments, killed).communicate()

    one, other = digests(whole), digests(killed)
    lines = (killed / "traces.jsonl").read_text(encoding="utf-8").splitlines()
    ids = [json.loads(line)["task"]["id"] for line in lines]
    wanted = [json.loads(line)["task"]["id"] for line in (whole / "traces.jsonl").read_text(encoding="utf-8").splitlines()]
    print(f"undisturbed     {len(wanted):,} traces in {seconds:.0f} s")
    print(f"killed          {kills} times, {before:,} traces kept before the last start")
    print(f"lost            {len(set(wanted) - set(ids))}")
    print(f"doubled         {len(ids) - len(set(ids))}")
    differing = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    print(f"files           {len(one):,}; {len(differing)} differ {' '.join(differing[:5])}")
    sys.exit(0 if not differing and ids == wanted else 1)


if __name__ == "__main__":
    main()
