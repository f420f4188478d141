"""Run the agent of one folder and kill it, again and again: `killed_agents.py FOLDER SEED KILLS LONGEST`.

Each agent is a process of its own, forked from this one, which holds all libraries and opens no session: nearly all
of its life is work. It is killed by SIGKILL after a random time of at most LONGEST seconds. One line tells of each.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import onnxruntime  # noqa: F401 - loaded once, before the forks

from muster.agent.folder import DeviceFolder
from muster.agent.loop import Options, run_agents


def main() -> None:
    """Kill as often as asked."""
    folder = DeviceFolder(Path(sys.argv[1]))
    seed, kills, longest = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    dice = random.Random(seed)
    for number in range(kills):
        child = os.fork()
        if child == 0:
            os._exit(run_agents([folder], Options(poll_interval=0.05), lambda _device, _what: None))
        time.sleep(dice.uniform(0.0, longest))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else f"ended by itself: {status}"
        sys.stdout.write(f"{number} {ended}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
