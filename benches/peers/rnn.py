"""Recurrent networks: Percept beside PyTorch and ONNX Runtime, in turns.

    python benches/peers/rnn.py rnn   [-t 1,2] [-f FILTER] [--turns 3] [--limits limits.jsonl]
    python benches/peers/rnn.py train [-t 1,2] [-f lstm|gru]
    python benches/peers/rnn.py cells [-t 1,2] [-f FILTER]

Needs torch, onnx and onnxruntime, and `cargo build --release --example bench_rnn` (or --bench-rnn PROGRAM). FILTER is
part of a case's name: `s64`, `gru s64-128x2 b1 T500`. Every program runs in a process of its own that has the threads
to itself while it is its turn; each turn gives a median, and the median of the turns is in the table. With --raw the
JSON lines of every turn are kept.

The limit of a case: its input projections at the rate of a big matrix product, and for each step of the recurrence one
matrix-vector product (batch 1) or the products at one core's best rate (larger batches); two threads take one direction
each. The rates are those of the machine, as `shared/peers/rust/src/bin/limits.rs` prints them; no column without them.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = {"s64-128x2": (64, 128, 2), "m128-256x2": (128, 256, 2), "l512-512x3": (512, 512, 3)}
SHAPES = [(1, 500), (1, 3000), (16, 500), (64, 100)]


def bench(run):
    """As in benches/common/rnn.rs."""
    run()
    start = time.perf_counter()
    run()
    least = 3 if time.perf_counter() - start > 1.5 else 7
    times, start = [], time.perf_counter()
    while len(times) < least or (time.perf_counter() - start < 1 and len(times) < 50):
        t = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - t))
    times.sort()
    return dict(ms=round(times[len(times) // 2], 3), min=round(times[0], 3), max=round(times[-1], 3), n=len(times))


# The peers: `rnn.py worker PEER THREADS` reads a case a line and answers with a line.

def torch_model(cell, model):
    import torch
    torch.manual_seed(0)
    inputs, hidden, layers = MODELS[model]
    kind = torch.nn.LSTM if cell == "lstm" else torch.nn.GRU
    return kind(inputs, hidden, layers, batch_first=True, bidirectional=True).eval()


def onnx_model(module, cell, model):
    """The graph that torch.onnx writes (Transpose, LSTM or GRU, Transpose, Reshape), with torch's weights."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper
    inputs, hidden, layers = MODELS[model]
    order = [0, 3, 1, 2] if cell == "lstm" else [1, 0, 2]  # i o f g from i f g o; z r n from r z n
    state = {name: value.numpy() for name, value in module.state_dict().items()}

    def gates(name):
        blocks = state[name].reshape(len(order), hidden, -1)[order]
        return blocks.reshape(len(order) * hidden, -1)

    shape = numpy_helper.from_array(np.array([0, 0, -1], np.int64), "shape")
    nodes, weights, current = [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])], [shape], "t"
    for layer in range(layers):
        w, r, b = [], [], []
        for suffix in ("", "_reverse"):
            w.append(gates(f"weight_ih_l{layer}{suffix}"))
            r.append(gates(f"weight_hh_l{layer}{suffix}"))
            b.append(np.concatenate([gates(f"bias_{part}_l{layer}{suffix}").ravel() for part in ("ih", "hh")]))
        for name, values in (("W", w), ("R", r), ("B", b)):
            weights.append(numpy_helper.from_array(np.stack(values).astype(np.float32), f"{name}{layer}"))
        options = dict(hidden_size=hidden, direction="bidirectional", **({"linear_before_reset": 1} if cell == "gru" else {}))
        nodes += [
            helper.make_node(cell.upper(), [current, f"W{layer}", f"R{layer}", f"B{layer}"], [f"y{layer}"], **options),
            helper.make_node("Transpose", [f"y{layer}"], [f"z{layer}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"z{layer}", "shape"], [f"r{layer}"]),
        ]
        current = f"r{layer}"
    nodes.append(helper.make_node("Transpose", [current], ["y"], perm=[1, 0, 2]))
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", "T", width])
    graph = helper.make_graph(nodes, "rnn", [value("x", inputs)], [value("y", 2 * hidden)], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def worker(peer, threads):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    import torch
    torch.set_num_threads(threads)
    modules, sessions = {}, {}
    for line in sys.stdin:
        case = json.loads(line)
        if case["what"] == "train":
            answer = train_torch(case["cell"])
        else:
            key = case["cell"], case["model"]
            if key not in modules:
                modules[key] = torch_model(*key)
            x = torch.randn(case["batch"], case["T"], MODELS[case["model"]][0])
            if peer == "torch":
                with torch.no_grad():
                    answer = bench(lambda: modules[key](x))
            else:
                import onnxruntime
                if key not in sessions:
                    options = onnxruntime.SessionOptions()
                    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
                    graph = onnx_model(modules[key], *key).SerializeToString()
                    sessions[key] = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
                values = x.numpy()
                answer = bench(lambda: sessions[key].run(None, {"x": values}))
        print(json.dumps(answer), flush=True)


def train_torch(cell):
    import resource

    import torch
    peak = lambda: round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    base = peak()
    module = torch_model(cell, "s64-128x2").train()
    head = torch.nn.Linear(256, 10)
    optimizer = torch.optim.Adam([*module.parameters(), *head.parameters()], lr=1e-3)
    x = torch.randn(32, 200, 64)
    y = torch.arange(6400) * 7 % 10

    def step():
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(head(module(x)[0]).reshape(-1, 10), y).backward()
        optimizer.step()

    answer = bench(step)
    with torch.no_grad():
        forward = bench(lambda: module(x))
    return dict(answer, forward_only_ms=forward["ms"], base_rss_mib=base, peak_rss_mib=peak())


# The run: all programs on a case, then the next.

class Peer:
    def __init__(self, name, threads):
        self.name, self.threads, self.process = name, threads, None

    def run(self, case):
        if self.process is None or case["what"] == "train":  # memory is counted from the start
            self.close()
            command = [sys.executable, __file__, "worker", self.name, str(self.threads)]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        print(json.dumps(case), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended without an answer")
        return dict(case, peer=self.name, threads=self.threads, **json.loads(line))

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()


def percept(program, *args):
    out = subprocess.run([program, *map(str, args)], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def case_name(case):
    return f"{case['cell']} {case['model']} b{case['batch']} T{case['T']}"


class Limits:
    """The machine's rates, and the time that a case can take at best."""

    def __init__(self, path):
        lines = [json.loads(line) for line in open(path) if line.startswith("{")]
        gemm = [line for line in lines if line["what"] == "gemm"]
        self.big = {t: max(g["gflops"] for g in gemm if g["threads"] == t and g["m"] > 2000) for t in (1, 2)}
        self.core = max(g["gflops"] for g in gemm if g["threads"] == 1)
        self.gemv = {}
        for line in lines:
            if line["what"] == "gemv" and line["kind"] == "f32":
                key = line["case"], line["threads"]
                self.gemv[key] = min(line["us"], self.gemv.get(key, math.inf))

    def projections(self, cell, model, frames, threads):
        inputs, hidden, layers = MODELS[model]
        rows = 2 * hidden * (4 if cell == "lstm" else 3)
        widths = inputs + (layers - 1) * 2 * hidden
        return 2 * frames * rows * widths / self.big[threads] / 1e6

    def inference(self, case, threads):
        cell, model, batch = case["cell"], case["model"], case["batch"]
        _, hidden, layers = MODELS[model]
        step = self.gemv[f"{cell}{hidden}", threads]
        if batch > 1:
            step = max(step, 2 * batch * (4 if cell == "lstm" else 3) * hidden**2 / self.core / 1e3)
        scans = layers * (2 if threads == 1 else 1)
        return self.projections(cell, model, batch * case["T"], threads) + scans * case["T"] * step / 1e3

    def training(self, cell, threads):
        """Three times the way forward, of 32 sequences of 200 frames."""
        case = dict(cell=cell, model="s64-128x2", batch=32, T=200)
        return 3 * self.inference(case, threads)


def table(rows, peers, limits, what):
    cells, ratios, shares = [], {}, []
    for (threads, name), row in rows.items():
        ms = {peer: statistics.median(line["ms"] for line in lines) for peer, lines in row.items()}
        fastest = min(peers, key=ms.get)
        ratio = ms[fastest] / ms["percept"]
        case = row["percept"][0]
        ratios.setdefault(case["cell"], []).append(ratio)
        cell = [name, str(threads), *(f"{ms[peer]:.2f}" for peer in (*peers, "percept"))]
        cell.append(f"{fastest} {ratio:.2f}x")
        if limits:
            limit = limits.training(case["cell"], threads) if what == "train" else limits.inference(case, threads)
            shares.append(limit / ms["percept"])
            cell += [f"{limit:.2f}", f"{100 * limit / ms['percept']:.0f}%"]
        if what == "train":
            for peer in (*peers, "percept"):
                last = row[peer][-1]
                cell += [f"{last['peak_rss_mib'] - last['base_rss_mib']}"]
        cells.append(cell)
    head = ["case", "threads", *(f"{peer} ms" for peer in (*peers, "percept")), "fastest peer / percept"]
    head += ["limit ms", "of the limit"] if limits else []
    head += [f"{peer} memory MiB" for peer in (*peers, "percept")] if what == "train" else []
    for line in [head, ["---"] * len(head), *cells]:
        print("| " + " | ".join(line) + " |")
    means = [f"{cell} {statistics.geometric_mean(values):.2f}x" for cell, values in ratios.items()]
    print(f"\nGeometric mean of the ratios: {', '.join(means)}", end="")
    print(f"; mean share of the limit: {100 * statistics.mean(shares):.0f}%" if shares else "")


def compare(args, peer_names, raw):
    limits = Limits(args.limits) if args.limits else None
    rows = {}
    for threads in map(int, args.threads.split(",")):
        peers = [Peer(name, threads) for name in peer_names]
        if args.what == "train":
            cases = [dict(what="train", cell=cell) for cell in ("lstm", "gru") if args.filter in cell]
        else:
            cases = [dict(what="rnn", cell=cell, model=model, batch=batch, T=frames)
                     for model in MODELS for cell in ("lstm", "gru") for batch, frames in SHAPES]
            cases = [case for case in cases if args.filter in case_name(case)]
        for case in cases:
            name = f"train {case['cell']}" if args.what == "train" else case_name(case)
            for turn in range(args.turns):
                filter_or_cell = case["cell"] if args.what == "train" else name
                lines = [peer.run(case) for peer in peers]
                lines += percept(args.bench_rnn, args.what, threads, filter_or_cell)
                for line in lines:
                    rows.setdefault((threads, name), {}).setdefault(line["peer"], []).append(line)
                    raw(line)
            print(f"{name}, {threads} threads", file=sys.stderr)
        for peer in peers:
            peer.close()
    for threads in sorted({threads for threads, _ in rows}):
        table({key: row for key, row in rows.items() if key[0] == threads}, peer_names, limits, args.what)
        print()


def cells(args, raw):
    """Every cell's time per floating-point operation beside the plain LSTM's."""
    print("| case | threads | ms | ps per operation | to lstm |\n|---|---|---|---|---|")
    for threads in map(int, args.threads.split(",")):
        for line in percept(args.bench_rnn, "cells", threads, args.filter):
            raw(line)
            print(f"| {case_name(line)} | {threads} | {line['ms']:.2f} | {line['ps_per_flop']:.2f} | {line['to_lstm']:.2f}x |")


def main():
    if sys.argv[1:2] == ["worker"]:
        return worker(sys.argv[2], int(sys.argv[3]))
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rnn", "train", "cells"))
    parser.add_argument("-t", "--threads", default="1,2")
    parser.add_argument("-f", "--filter", default="")
    parser.add_argument("-p", "--peers", default="torch,ort")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--limits")
    parser.add_argument("--raw")
    parser.add_argument("--bench-rnn", default=str(target / "release" / "examples" / "bench_rnn"))
    args = parser.parse_args()
    file = open(args.raw, "a") if args.raw else None
    raw = lambda line: print(json.dumps(line), file=file, flush=True) if file else None
    if args.what == "cells":
        cells(args, raw)
    else:
        compare(args, ["torch"] if args.what == "train" else args.peers.split(","), raw)


if __name__ == "__main__":
    main()
