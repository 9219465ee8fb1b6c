"""An hour of work without a rest: does memory stay flat?

    python benches/soak.py PERCEPT FOLDER [FOLDER ...] [--minutes 60] [--seed 0]

`percept worker` answers one request after another, and `percept batch` goes through a folder of links, both over every file
of the folders: good ones, damaged ones, sounds, videos. Each starts again only if it ends. Every five seconds the proportional
memory (PSS) of each with its workers is read; it prints a row a tenth of the time: answers so far, memory in MiB, open files.
A file that costs a worker its life is counted. Linux only.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time


def family(pid):
    pids = [pid]
    for one in pids:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as children:
                    pids += [int(child) for child in children.read().split()]
        except OSError:
            pass
    return pids


def memory(pid):
    """MiB and open files of a process and its children."""
    total, files = 0, 0
    for one in family(pid):
        try:
            with open(f"/proc/{one}/smaps_rollup") as rollup:
                total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
            files += len(os.listdir(f"/proc/{one}/fd"))
        except (OSError, StopIteration):
            pass
    return total / 1024, files


def media(folders):
    names = []
    for folder in folders:
        for root, _, files in os.walk(folder):
            names += [os.path.join(root, name) for name in files if not name.endswith((".md", ".csv", ".txt", ".py"))]
    return sorted(names)


class Worker(threading.Thread):
    """Asks `percept worker` for one file after the other, in an order of its own."""

    def __init__(self, percept, names, end, seed):
        super().__init__(daemon=True)
        self.percept, self.names, self.end, self.random = percept, names, end, random.Random(seed)
        self.done = self.failed = self.starts = 0
        self.pid = None

    def run(self):
        while time.time() < self.end:
            self.starts += 1
            with subprocess.Popen([self.percept, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
                self.pid = worker.pid
                while time.time() < self.end:
                    name = self.random.choice(self.names)
                    try:
                        worker.stdin.write(json.dumps({"id": self.done, "path": name}) + "\n")
                        worker.stdin.flush()
                        line = worker.stdout.readline()
                    except OSError:
                        break
                    if not line:
                        break
                    answer = json.loads(line)
                    assert answer["id"] == self.done, answer
                    self.done += 1
                    self.failed += answer["row"]["status"] == "error"
                try:
                    worker.stdin.close()
                except OSError:
                    pass


class Batch(threading.Thread):
    """Goes through a folder of links with `percept batch`, again and again."""

    def __init__(self, percept, names, end, folder, links):
        super().__init__(daemon=True)
        self.percept, self.end, self.folder, self.pid = percept, end, folder, None
        self.starts, self.codes, self.rows = 0, {}, 0
        self.calls = os.path.join(folder, "calls")
        for number in range(links):
            place = os.path.join(self.calls, f"{number // 1000:04}")
            os.makedirs(place, exist_ok=True)
            name = names[number % len(names)]
            os.symlink(os.path.abspath(name), os.path.join(place, f"{number:07}-{os.path.basename(name)}"))

    def partial(self):
        try:
            with open(os.path.join(self.folder, f"{self.starts}.jsonl.partial"), "rb") as out:
                return sum(block.count(b"\n") for block in iter(lambda: out.read(1 << 20), b""))
        except OSError:
            return 0

    def run(self):
        while time.time() < self.end:
            self.starts += 1
            out = os.path.join(self.folder, f"{self.starts}.jsonl")
            with subprocess.Popen([self.percept, "batch", self.calls, "--jobs", "1", "-o", out], stderr=subprocess.DEVNULL) as batch:
                self.pid = batch.pid
                while batch.poll() is None and time.time() < self.end:
                    time.sleep(1)
                if batch.returncode is None:
                    batch.terminate()
                    batch.wait()
            self.codes[batch.returncode] = self.codes.get(batch.returncode, 0) + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("percept")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--links", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = media(options.folders)
    sys.exit("no files are there") if not names else None
    with tempfile.TemporaryDirectory() as folder:
        begin = time.time()
        end = begin + 60 * options.minutes
        batch = Batch(options.percept, names, end, folder, options.links)
        worker = Worker(options.percept, names, end, options.seed)
        batch.start()
        worker.start()
        print(f"{len(names)} files, {options.links} links, {options.minutes:g} minutes", flush=True)
        print("minute   worker: answers  failed  starts   MiB  files   batch: starts   rows   MiB  files", flush=True)
        for tenth in range(1, 11):
            until, seen = begin + 6 * options.minutes * tenth, ([0], [0], [0], [0])
            while time.time() < until:
                for pid, mib, files in ((worker.pid, seen[0], seen[1]), (batch.pid, seen[2], seen[3])):
                    if pid:
                        size, open_files = memory(pid)
                        mib.append(size)
                        files.append(open_files)
                time.sleep(5)
            middle = [sorted(values)[len(values) // 2] for values in seen]
            most = [max(values) for values in seen]
            print(f"{tenth * options.minutes / 10:6.1f}   {worker.done:15} {worker.failed:7} {worker.starts:7} {middle[0]:5.1f} (most {most[0]:.1f}) {most[1]:3}"
                  f"   {batch.starts:13} {batch.partial():6} {middle[2]:5.1f} (most {most[2]:.1f}) {most[3]:3}", flush=True)
        worker.join(30)
        batch.join(30)
        print(f"exit codes of batch: {batch.codes}", flush=True)


if __name__ == "__main__":
    main()
