"""A job on a real Ray cluster of two nodes on this machine; processes, a node and the driver are killed with kill -9.

    pip install -r requirements.txt pytest psutil
    PERCEPT=../../target/release/percept pytest -v test_percept_ray.py      (or: python test_percept_ray.py)

Takes about three minutes, 2 GB of memory and two cores. Linux only.
"""

import collections
import contextlib
import json
import math
import os
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from pathlib import Path

# The cluster is this test's own: whoever else is on the machine cannot use it.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
os.environ.pop("RAY_ADDRESS", None)

import psutil
import pyarrow.parquet as pq
from ray.cluster_utils import Cluster

import percept_ray

HERE = Path(__file__).resolve().parent
PERCEPT = os.path.abspath(os.environ.get("PERCEPT") or HERE.parents[1] / "target/release/percept")
MODEL = "digits"
GOOD, PART_SIZE, TIME_LIMIT = 400, 10, 3

# Between the actor and `percept worker`: it dies of files named crash*, hangs at hang*, and takes its time over others.
SLOW_PERCEPT = """#!{python}
import json, os, signal, subprocess, sys, time
seconds = float(open({seconds!r}).read())
worker = subprocess.Popen([{percept!r}, *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for line in sys.stdin.buffer:
    requests = json.loads(line)
    for request in requests:
        name = os.path.basename(request["path"])
        if name.startswith("crash"):
            os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(3600 if name.startswith("hang") else seconds if name.endswith(".wav") else 0)
    worker.stdin.write(line)
    worker.stdin.flush()
    for _ in requests:
        answer = worker.stdout.readline()
        if not answer:
            sys.exit(99)
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
"""


class Fixture:
    """Recordings good and bad, a manifest of them, and a `percept` whose speed can be chosen."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "wav").mkdir()
        names = [f"{i:04}.wav" for i in range(GOOD)]
        for i, name in enumerate(names):
            write_tone(folder / "wav" / name, frequency=200 + 7 * i)
        (folder / "wav/empty.wav").touch()
        (folder / "wav/text.wav").write_text("no sound\n" * 100)
        for name in ("crash-a.wav", "crash-b.wav", "hang.wav"):
            write_tone(folder / "wav" / name, frequency=440)
        # Two in one part, so that one group of files dies twice.
        for place, name in ((33, "crash-a.wav"), (34, "empty.wav"), (36, "crash-b.wav"), (155, "missing.wav")):
            names.insert(place, name)
        names.insert(222, "hang.wav")
        names.append("text.wav")
        self.paths = [str(folder / "wav" / name) for name in names]
        self.manifest = folder / "manifest.csv"
        self.manifest.write_text("day,path\n" + "".join(f"1,wav/{name}\n" for name in [*names, names[5]]))
        self.percept, self.seconds = folder / "slow_percept", folder / "seconds"
        self.percept.write_text(SLOW_PERCEPT.format(python=sys.executable, percept=PERCEPT, seconds=str(self.seconds)))
        self.percept.chmod(0o755)
        self.take(0.0)

    def take(self, seconds: float):
        """Seconds for each file, of workers that start from now on."""
        self.seconds.write_text(str(seconds))

    @property
    def num_parts(self) -> int:
        return math.ceil(len(self.paths) / PART_SIZE)

    def command(self, output: Path, address: str | None, *more: str) -> list[str]:
        command = [sys.executable, HERE / "percept_ray.py", "--manifest", self.manifest, "-o", output, "-m", MODEL]
        command += ["--percept", self.percept, "--part-size", PART_SIZE, "--group-size", 4, "--time-limit", TIME_LIMIT]
        command += ["--raw", *(["--address", address] if address else []), *more, "--", "--top-k", 3]
        return [str(word) for word in command]


def write_tone(path: Path, frequency: float):
    samples = (int(9000 * math.sin(2 * math.pi * frequency * i / 8000)) for i in range(2400))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


@contextlib.contextmanager
def new_fixture() -> Iterator[Fixture]:
    if not os.access(PERCEPT, os.X_OK):
        message = f"{PERCEPT} is not there; build it (cargo build --release) or name it in PERCEPT"
        raise SystemExit(message) if __name__ == "__main__" else FileNotFoundError(message)
    with tempfile.TemporaryDirectory(prefix="percept_ray_") as folder:
        yield Fixture(Path(folder))


@contextlib.contextmanager
def new_cluster() -> Iterator[Cluster]:
    """A head and one more node, of one CPU each."""
    small = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    try:
        cluster.add_node(**small)
        yield cluster
    finally:
        cluster.shutdown()


def raylet(node) -> psutil.Process:
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


def workers_of(node) -> list[psutil.Process]:
    return workers_below(raylet(node))


def wait_for_worker(node, driver: subprocess.Popen) -> psutil.Process:
    """One of a node's workers, which may be between two lives just now."""
    while not (workers := workers_of(node)):
        assert driver.poll() is None, f"the driver ended with {driver.returncode}"
        time.sleep(0.05)
    return workers[0]


def workers_below(process: psutil.Process) -> list[psutil.Process]:
    """The `percept` processes, not what stands between."""
    return [child for child in process.children(recursive=True) if PERCEPT in command_line(child)[:2]]


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def kill_node(node):
    """What is left of a machine whose plug is pulled."""
    processes = [raylet(node), *raylet(node).children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def parts(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.glob("part-*.parquet")}


def wait_for_parts(output: Path, count: int, driver: subprocess.Popen):
    while len(parts(output)) < count:
        assert driver.poll() is None, f"the driver ended with {driver.returncode} at {len(parts(output))} parts"
        time.sleep(0.1)


def rows_alone(paths: list[str]) -> dict[str, dict]:
    """What `percept worker` answers without Ray, asked file by file."""
    lines = "".join(json.dumps({"id": path, "path": path}) + "\n" for path in paths)
    command = [PERCEPT, "worker", "-m", MODEL, "--top-k", "3"]
    answers = subprocess.run(command, input=lines, stdout=subprocess.PIPE, check=True, text=True).stdout
    return {answer["id"]: answer["row"] for answer in map(json.loads, answers.splitlines())}


def check_table(fixture: Fixture, output: Path):
    """Every input once, with the rows that it has without Ray."""
    table = pq.read_table(output)
    rows = collections.defaultdict(list)
    for row in table.to_pylist():
        rows[row["path"]].append(row)
    assert sorted(rows) == sorted(fixture.paths)
    kills = [path for path in fixture.paths if Path(path).name.startswith(("crash", "hang"))]
    alone = rows_alone([path for path in fixture.paths if path not in kills])
    for path, found in rows.items():
        records = [json.loads(row["record"]) for row in found if row["record"]]
        assert len(records) == 1, f"{path} is there {len(records)} times"
        if path in kills:
            kind = "limit" if Path(path).name.startswith("hang") else "internal"
            assert [(row["status"], row["error_kind"]) for row in found] == [("error", kind)], found
            continue
        assert records == [alone[path]]
        if alone[path]["status"] == "error":
            assert [(row["error_kind"], row["label"]) for row in found] == [(alone[path]["error"]["kind"], None)]
        else:
            expected = [(i, one["label"]) for i, one in enumerate(alone[path]["predictions"], 1)]
            assert [(row["rank"], row["label"]) for row in found] == expected
            assert all(row["duration"] == 0.3 and row["sample_rate"] == 8000 for row in found)
    summary = json.loads((output / "_SUCCESS").read_text())
    assert (summary["inputs"], summary["failed"]) == (len(fixture.paths), 6)
    assert not (output / "_tmp").exists()


def test_a_record_becomes_a_row_a_label_or_event():
    shared = {
        "model": {"name": "m", "sha256": "0", "task": "tag"},
        "settings": "s",
        "tool": "percept 1",
        "status": "ok",
    }
    event = {
        "label": "wren",
        "onset": 1.25,
        "offset": 1.5,
        "score": 0.5,
        "peak": 0.75,
        "frame_start": 1,
        "frame_end": 2,
    }
    start = {"recorded_at": "2024-05-31T23:59:59Z", "warnings": ["a", "b"]}
    none = shared | {"input": {"path": "none.wav", "duration": 2.0}, "events": [], "warnings": []}
    two = shared | start | {"input": {"path": "two.wav", "duration": 3.0}, "events": [event, event]}
    wrong = shared | {"input": {"path": "wrong.wav"}, "status": "error", "error": {"kind": "empty", "message": "no"}}
    label = shared | {"input": {"path": "l.wav", "duration": 4.0}, "predictions": [{"label": "x", "score": 1.0}]}
    table = percept_ray.part_table([none, two, wrong, label], raw=False)
    assert table.schema.equals(percept_ray.SCHEMA)
    rows = table.to_pylist()
    assert [row["path"] for row in rows] == ["none.wav", "two.wav", "two.wav", "wrong.wav", "l.wav"]
    assert [row["rank"] for row in rows] == [None, None, None, None, 1]
    assert [row["offset"] for row in rows] == [None, 1.5, 1.5, None, 4.0]
    assert [row["event_at"] for row in rows] == [None, *["2024-06-01T00:00:00.25Z"] * 2, None, None]
    assert [row["warnings"] for row in rows] == [None, "a; b", "a; b", None, None]
    assert [row["error_kind"] for row in rows] == [None, None, None, "empty", None]
    counts = json.loads(table.schema.metadata[percept_ray.COUNTS])
    assert counts == {"inputs": 4, "failed": 1, "seconds": 9.0}


def test_times_are_written_as_percept_writes_them():
    later = percept_ray.later
    assert later("2024-05-31T04:30:00", 0.0) == "2024-05-31T04:30:00"
    assert later("2024-05-31T04:30:00+02:00", 61.0005) == "2024-05-31T04:31:01.001+02:00"
    assert later("2024-05-31T04:30:00.5Z", 0.5) == "2024-05-31T04:30:01Z"
    assert later(None, 1.0) is None
    assert later("yesterday", 1.0) is None


def test_lists_of_files_are_read_in_order():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sub").mkdir()
        for file in ("sub/b.WAV", "sub/a.flac", "sub/.hidden.wav", "sub/notes.txt", "c.wav"):
            (folder / file).touch()
        (folder / "list.txt").write_bytes(b"\xef\xbb\xbfz.wav\r\n\r\nsub/b.WAV\r\n/far/\xff.wav\r\nz.wav\r\n")
        (folder / "list.csv").write_text('site;"path"\nx;"a, b.wav"\ny;c.wav\n')
        lists = [str(folder / "list.txt"), str(folder / "list.csv")]
        found = list(percept_ray.listed_files(lists, [name], ["*.wav", "*.flac"]))
        expected = [
            "z.wav",
            "sub/b.WAV",
            "/far/\udcff.wav",
            "z.wav",
            "a, b.wav",
            "c.wav",
            "c.wav",
            "sub/a.flac",
            "sub/b.WAV",
        ]
        assert found == [os.path.join(folder, file) for file in expected]


def test_a_file_that_is_named_twice_is_worked_on_once():
    with tempfile.TemporaryDirectory() as name:
        output = percept_ray.Output(name)
        sha256, count = output.keep_inputs(iter(["/b", "/a", "/b", "/\udcff", "/c", "/a", "/b"]))
        assert [json.loads(line) for line in open(output.inputs(sha256))] == ["/b", "/a", "/\udcff", "/c"]
        assert (sha256, count) == output.keep_inputs(iter(["/b", "/a", "/\udcff", "/c"]))


def test_a_file_that_kills_the_worker_or_hangs_costs_one_row():
    with new_fixture() as fixture:
        paths = [path for path in fixture.paths[30:40]]
        paths += [str(fixture.folder / "wav/hang.wav"), str(fixture.folder / "wav/\udcff.wav"), fixture.paths[0]]
        worker = percept_ray.Worker([str(fixture.percept), "worker", "-m", MODEL], time_limit=TIME_LIMIT)
        worker.group_size = 16
        rows = list(worker.rows(paths))
        worker.close()
        errors = {Path(row["input"]["path"]).name: row["error"] for row in rows if row["status"] == "error"}
        kinds = {name: error["kind"] for name, error in errors.items()}
        assert kinds.pop("empty.wav") and kinds == {
            "crash-a.wav": "internal",
            "crash-b.wav": "internal",
            "hang.wav": "limit",
            "\ufffd.wav": "path",
        }
        assert "SIGSEGV" in errors["crash-a.wav"]["message"]
        assert [row["input"]["path"] for row in rows if row["status"] == "ok"] == [
            path for path in paths if path in fixture.paths and Path(path).name[0].isdigit()
        ]


def test_a_worker_that_hangs_dies_with_the_process_that_owns_it():
    with new_fixture() as fixture:
        command, hang = [str(fixture.percept), "worker", "-m", MODEL], str(fixture.folder / "wav/hang.wav")
        script = f"import percept_ray; list(percept_ray.Worker({command!r}).rows([{hang!r}]))"
        owner = subprocess.Popen([sys.executable, "-c", script], cwd=HERE)
        try:
            while not workers_below(psutil.Process(owner.pid)):
                assert owner.poll() is None
                time.sleep(0.1)
            time.sleep(1)
            below = psutil.Process(owner.pid).children(recursive=True)
        finally:
            owner.kill()
            owner.wait()
        assert not psutil.wait_procs(below, timeout=10)[1]


def test_another_job_in_the_same_directory_is_refused():
    with tempfile.TemporaryDirectory() as name:
        output = percept_ray.Output(name)
        sha256, count = output.keep_inputs(iter(["/a.wav", "/b.wav"]))
        job = percept_ray.Job(sha256, count, 1, False, "percept 1", "m", "0", "tag", "top_k=5")
        output.begin(job)
        output.begin(job)
        for change in ({"settings": "top_k=4"}, {"model_sha256": "1"}, {"part_size": 2}, {"inputs_sha256": "2" * 64}):
            try:
                output.begin(percept_ray.Job(**(vars(job) | change)))
            except percept_ray.JobError as error:
                assert next(iter(change)) in str(error)
            else:
                raise AssertionError(f"{change} was not noticed")
        assert output.inputs(sha256).exists()
        assert output.part_offsets(job) == [0, len('"/a.wav"\n')]
        output.write_part(1, percept_ray.part_table([], raw=False))
        assert output.missing_parts(job) == [0]


def test_a_node_without_the_recordings_stops_the_job():
    with tempfile.TemporaryDirectory() as name:
        job = percept_ray.Job("0", 2, 2, False, "percept 1", "m", "0", "classify", "")
        writer = percept_ray.PartWriter(percept_ray.Output(name), job, {"command": []}, allow_missing=False)
        records = [
            {"input": {"path": f"{name}/a/1.wav"}, "status": "ok"},
            {"input": {"path": f"{name}/b/2.wav"}, "status": "error", "error": {"kind": "not_found"}},
        ]

        def stops(records: list[dict]) -> bool:
            try:
                writer.check_disks(0, records)
            except percept_ray.JobError:
                return True
            return False

        os.makedirs(f"{name}/a")
        Path(f"{name}/a/1.wav").touch()
        assert not stops(records)  # One file is missing, and its folder: so says the list.
        assert stops(records[1:])  # Nothing is there.
        os.makedirs(f"{name}/b")
        assert stops(records[1:])  # A mount point without its disk.
        Path(f"{name}/b/3.wav").touch()
        assert not stops(records[1:])
        os.remove(f"{name}/a/1.wav")
        assert stops(records)  # What was read is gone.
        assert not stops(records[:1])


def test_every_input_is_there_once_though_a_worker_a_node_and_the_driver_are_killed():
    with new_fixture() as fixture, new_cluster() as cluster:
        (other,) = cluster.worker_nodes
        undisturbed, disturbed, resumed = (fixture.folder / name for name in ("undisturbed", "disturbed", "resumed"))

        start = time.monotonic()
        assert subprocess.run(fixture.command(undisturbed, cluster.address)).returncode == 1  # Some inputs failed.
        check_table(fixture, undisturbed)
        tell(start, "undisturbed")

        # The driver is killed; the same command goes on.
        start = time.monotonic()
        fixture.take(0.1)
        driver = subprocess.Popen(fixture.command(resumed, cluster.address))
        wait_for_parts(resumed, fixture.num_parts // 3, driver)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        time.sleep(3)  # Ray ends the actors of a driver that is gone.
        before = {path: path.stat().st_mtime_ns for path in resumed.glob("part-*.parquet")}
        assert len(before) < fixture.num_parts and not (resumed / "_SUCCESS").exists()
        assert subprocess.run(fixture.command(resumed, cluster.address)).returncode == 1
        assert all(path.stat().st_mtime_ns == mtime for path, mtime in before.items()), "parts were done twice"
        check_table(fixture, resumed)
        assert parts(resumed) == parts(undisturbed)
        tell(start, f"driver killed at {len(before)} of {fixture.num_parts} parts, resumed")

        # A worker process is killed, an actor, then all of a node; the driver goes on by itself on the CPU left.
        start = time.monotonic()
        driver = subprocess.Popen(fixture.command(disturbed, cluster.address))
        wait_for_parts(disturbed, fixture.num_parts // 6, driver)
        wait_for_worker(cluster.head_node, driver).kill()
        wait_for_parts(disturbed, fixture.num_parts // 4, driver)
        actor = wait_for_worker(cluster.head_node, driver).parent().parent()
        assert "PartWriter" in command_line(actor)[0]
        actor.kill()
        wait_for_parts(disturbed, fixture.num_parts // 3, driver)
        wait_for_worker(other, driver)
        kill_node(other)
        killed_at = len(parts(disturbed))
        assert killed_at < fixture.num_parts * 2 // 3
        assert driver.wait(timeout=900) == 1
        check_table(fixture, disturbed)
        assert parts(disturbed) == parts(undisturbed)
        tell(start, f"a worker and an actor killed, then a node at {killed_at} of {fixture.num_parts} parts")

        time.sleep(1)
        assert not workers_of(cluster.head_node), "worker processes outlive the job"


def test_a_job_on_this_machine_alone():
    with new_fixture() as fixture:
        output = fixture.folder / "out"
        assert subprocess.run(fixture.command(output, None)).returncode == 1
        check_table(fixture, output)
        # All is there: it is told again, without Ray.
        assert subprocess.run(fixture.command(output, None)).returncode == 1
        # A file comes back; the parts without failures stay.
        write_tone(fixture.folder / "wav/missing.wav", frequency=300)
        before = parts(output)
        assert subprocess.run(fixture.command(output, None, "--retry-failed")).returncode == 1
        after = parts(output)
        assert [name for name in sorted(after) if after[name] != before[name]] == ["part-000015.parquet"]
        assert json.loads((output / "_SUCCESS").read_text())["failed"] == 5


def test_the_table_is_that_of_percept_batch():
    with tempfile.TemporaryDirectory() as name:
        folder, manifest = Path(name), Path(name) / "list.txt"
        assets = HERE.parents[1] / "assets"
        shutil.copy(assets / "number.wav", folder / "20240531_043000.WAV")
        shutil.copy(assets / "seven.wav", folder / "20240531_235959+0200.wav")
        (folder / "text.wav").write_text("no sound\n" * 100)
        paths = [*sorted(folder.iterdir()), assets / "dog.ogg", folder / "missing.wav"]
        manifest.write_text("".join(f"{path}\n" for path in paths))
        for task in ("classify", "tag"):
            flags, table = ["-m", MODEL, "--task", task], folder / f"{task}.parquet"
            batch = [PERCEPT, "batch", "--manifest", str(manifest), "-o", str(table), *flags]
            assert subprocess.run(batch).returncode == 1  # Some are no sound.
            worker = percept_ray.Worker([PERCEPT, "worker", *flags])
            found = percept_ray.part_table(list(worker.rows([str(path) for path in paths])), raw=False)
            worker.close()
            expected = pq.read_table(table)
            assert found.schema.equals(expected.schema)
            assert found.to_pylist() == expected.to_pylist()
            assert any(row["event_at"] for row in found.to_pylist())


def tell(start: float, what: str):
    print(f"{what}: {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            start = time.monotonic()
            test()
            print(f"ok {name}: {time.monotonic() - start:.1f} s", flush=True)
