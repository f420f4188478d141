"""What an idle agent costs beside onnxruntime alone, in the environment that a device installs.

    python benchmarks/agent_small.py [--rounds 5] [--seconds 60]

In every round, one after the other in an environment with nothing but `passmuster[agent]`: a bare Python that imports
onnxruntime; a bare Python that holds a session on the same model (its memory is what the agent's is held against); the
agent on a device whose release is confirmed. Start: from the start of the process to the end of the import, and to the
agent's line that says what it runs, which comes before it polls. Memory: PSS and RSS when idle. Then one agent idles
for `--seconds` at the poll interval that fleets have by default: what its threads did beside polling shows as voluntary
context switches.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "agent"), str(ROOT / "controller")]

from agent_simulator import WINDOW_SECONDS, Bench, build  # noqa: E402
from device_environment import make_environment  # noqa: E402

from muster.artifacts.bundle import MODEL  # noqa: E402

MEMORY = 40 * 2**20
START = 1.0
POLL = "30s"
WAKES_PER_POLL = 30
"""A poll writes and reads sockets and files; each wait for one of them is a switch."""
PATIENCE = 60.0
# The agent's first rounds fetch and verify: what is measured comes after.
SETTLE = 3.0

BARE = "import onnxruntime, sys\nprint('ready', flush=True)\nsys.stdin.read()"
SESSION = """
import sys, onnxruntime, numpy as np
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for _ in range(8):
    session.run(None, {"frame": np.zeros((1, 4), np.float32)})
print("ready", flush=True)
sys.stdin.read()
"""


class Device:
    """A folder on which a release is confirmed, and a server for it."""

    def __init__(self, folder: Path) -> None:
        bench = Bench(folder)
        built = build("1.0.0")
        bench.start()
        bench.repository.publish(1, [built.entry(1)], artifacts=(built,))
        bench.tick()
        bench.tick(WINDOW_SECONDS)
        assert bench.state.confirmed is not None
        bench.agent.stop(bench.now)
        self.bench, self.folder = bench, bench.folder.path
        self.model = folder / "model.onnx"
        self.model.write_bytes(built.files[MODEL])
        self.polls = 0

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """The simulated server, over a socket."""
        device, server = self, self.bench.server

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                device.polls += self.path.endswith("timestamp.json")
                headers = {name: value for name, value in self.headers.items() if name in ("If-None-Match", "Range")}
                with server.get(self.path, headers) as answer:
                    self._answer(answer.status, dict(answer.headers), b"".join(answer.chunks))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = server.post(self.path, {"Authorization": self.headers["Authorization"]}, body)
                self._answer(answer.status, dict(answer.headers), b"".join(answer.chunks))

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                pass

        http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        http_server.daemon_threads = True
        identity = self.folder / "identity.json"
        identity.write_text(
            identity.read_text().replace("http://127.0.0.1", f"http://127.0.0.1:{http_server.server_port}")
        )
        thread = threading.Thread(target=http_server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            http_server.shutdown()
            http_server.server_close()
            thread.join()


@contextlib.contextmanager
def started(command: list[str], sign: str) -> Iterator[tuple[subprocess.Popen[str], tuple[float, float]]]:
    """The process, and the seconds of the wall's clock and of the CPU until it wrote a line with `sign`."""
    began = time.monotonic()
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "PYTHONPATH": ""}
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert child.stdout is not None
        while sign not in (line := child.stdout.readline()):
            assert line, f"{command[:4]} ended with {child.wait()}"
            assert time.monotonic() < began + PATIENCE, f"{command[:4]} did not come up"
        yield child, (time.monotonic() - began, processor(child.pid))
    finally:
        child.terminate()
        child.communicate()


def memory(process: int) -> tuple[int, int]:
    """PSS and RSS in bytes."""
    lines = (line.partition(":") for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:])
    found = {name: int(rest.split()[0]) * 1_024 for name, _, rest in lines}
    return found["Pss"], found["Rss"]


def processor(process: int) -> float:
    """CPU seconds of a process until now."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wakes(process: int) -> int:
    """Voluntary context switches of all its threads that live."""
    return sum(
        int(line.split()[1])
        for path in Path(f"/proc/{process}/task").glob("*/status")
        for line in path.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def main() -> int:
    """Exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        device = Device(Path(scratch))
        python = str(make_environment(Path(scratch) / "environment"))
        agent = [python, "-m", "muster", "agent", "run", "--folder", str(device.folder), "--poll-interval", POLL]
        with device.served():
            rounds = [measured(python, agent, device.model) for _ in range(options.rounds)]
            with started(agent, "runs") as (child, _):
                idle = idled(child.pid, options.seconds, device)
    return shown(rounds, idle, options.seconds)


def measured(python: str, agent: list[str], model: Path) -> dict[str, float]:
    """One round: seconds, and bytes."""
    with started([python, "-c", BARE], "ready") as (_, importing):
        pass
    with started([python, "-c", SESSION, str(model)], "ready") as (child, _):
        bare = memory(child.pid)
    with started(agent, "runs") as (child, starting):
        time.sleep(SETTLE)
        mine = memory(child.pid)
    return {
        "import": importing[0],
        "import cpu": importing[1],
        "start": starting[0],
        "start cpu": starting[1],
        "bare pss": bare[0],
        "bare rss": bare[1],
        "agent pss": mine[0],
        "agent rss": mine[1],
    }


def idled(process: int, seconds: float, device: Device) -> tuple[int, int]:
    """Wakes and polls."""
    time.sleep(SETTLE)
    before, polls = wakes(process), device.polls
    time.sleep(seconds)
    return wakes(process) - before, device.polls - polls


def shown(rounds: list[dict[str, float]], idle: tuple[int, int], seconds: float) -> int:
    """Print it; 1 if a target is missed."""

    def middle(name: str) -> float:
        return statistics.median(one[name] for one in rounds)

    more = statistics.median(one["agent pss"] - one["bare pss"] for one in rounds)
    for who in ("bare", "agent"):
        print(f"{who:>6}: PSS {middle(f'{who} pss') / 2**20:6.1f} MiB, RSS {middle(f'{who} rss') / 2**20:6.1f} MiB")
    print(f"the agent holds {more / 2**20:.1f} MiB (PSS) more than a session alone, target {MEMORY / 2**20:.0f}")
    for clock, unit in (("", "s"), (" cpu", "s of CPU")):
        ratio = statistics.median(one[f"start{clock}"] / one[f"import{clock}"] for one in rounds)
        bare, mine = middle(f"import{clock}"), middle(f"start{clock}")
        print(f"import onnxruntime {bare:.2f} {unit}, the agent answers after {mine:.2f} {unit}: {ratio:.2f}x")
    woken, polls = idle
    print(f"idle for {seconds:.0f} s: {woken} voluntary context switches, {polls} polls, at {POLL} between polls")
    # The CPU's clock, since others use this machine too: what a device that does nothing else would wait.
    late = middle("import cpu") < START <= middle("start cpu")
    return int(more >= MEMORY or late or woken > WAKES_PER_POLL * max(1, polls))


if __name__ == "__main__":
    sys.exit(main())
