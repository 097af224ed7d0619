"""A real Slurm of two nodes on this machine, started for the tests of a file and ended by its pid files."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

INSTALLED = all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch"))
FINISHED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}

CONFIG = """
ClusterName=orla
FirstJobId={first}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=30
SlurmdParameters=config_overrides
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs=4 RealMemory=8000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs=4 RealMemory=8000
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES:4
"""

# Both nodes are this machine. Real ones need none of this: directories and ports of their own, and a GPU.
RAY = """#!/usr/bin/env bash
arguments=("$@")
if [[ $1 == start ]]; then
    for i in "${{!arguments[@]}}"; do
        [[ ${{arguments[i]}} != --temp-dir=* ]] || arguments[i]+=/$SLURMD_NODENAME
    done
    arguments+=(--num-gpus=1 --num-cpus=16)
fi
exec {ray} "${{arguments[@]}}"
"""

# For a job that names a node as ABSENT, that node starts no program, and the others need not import what training does.
PYTHON = """#!/usr/bin/env bash
if [[ -n ${{ABSENT:-}} && $* == *verl.trainer* ]]; then
    [[ $SLURMD_NODENAME != "$ABSENT" ]] || exec sleep 300
    exit 0
fi
exec {python} "$@"
"""


class Slurm:
    """Use as a context manager.

    Args:
        root: a short path for its files and the wrappers of programs.

    Attributes:
        work: where jobs are submitted from.
    """

    def __init__(self, root: Path) -> None:
        self.root = self.work = root
        for folder in (root / "state", root / "bin"):
            folder.mkdir()
        ports = dict(zip(("port", "port1", "port2"), _free_ports(3), strict=True))
        (root / "slurm.conf").write_text(
            CONFIG.format(host=socket.gethostname(), root=root, first=os.getpid(), **ports)
        )
        here = Path(sys.executable).parent
        for name, script in (("ray", RAY), ("python", PYTHON)):
            wrapper = root / "bin" / name
            wrapper.write_text(script.format(**{name: here / name}))
            wrapper.chmod(0o755)
        self.environment = os.environ | {
            "SLURM_CONF": str(root / "slurm.conf"),
            "PATH": f"{root / 'bin'}:{here}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }

    def __enter__(self) -> "Slurm":
        try:
            for command in (["slurmctld"], ["slurmd", "-N", "n1"], ["slurmd", "-N", "n2"]):
                subprocess.run([*command, "-f", self.root / "slurm.conf"], check=True, env=self.environment, timeout=30)
            deadline = time.monotonic() + 60
            while self._ask("sinfo", "--noheader", "--Node", "--format=%T").split() != ["idle", "idle"]:
                assert time.monotonic() < deadline, (self.root / "slurmctld.log").read_text()[-3000:]
                time.sleep(0.5)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def end_jobs(self) -> None:
        """Cancel what still runs."""
        if jobs := self._ask("squeue", "--noheader", "--format=%A").split():
            self.cancel(*jobs)
            self.wait(*jobs, limit_s=60)

    def _end(self) -> None:
        for file in sorted(self.root.glob("*.pid"), reverse=True):
            daemon = psutil.Process(int(file.read_text()))
            daemon.terminate()
            daemon.wait(20)

    def submit(self, *words: str, **environment: str) -> str:
        """sbatch; returns the job's number."""
        command = ["sbatch", "--parsable", *words]
        done = subprocess.run(
            command, cwd=self.work, env=self.environment | environment, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def states(self, *jobs: str) -> list[str]:
        """Of every job, and of each task of an array."""
        return self._ask("squeue", "--noheader", "--states=all", f"--jobs={','.join(jobs)}", "--format=%T").split()

    def wait(self, *jobs: str, limit_s: float) -> list[str]:
        """Their states, once they have ended."""
        deadline = time.monotonic() + limit_s
        while not set(states := self.states(*jobs)) <= FINISHED:
            assert time.monotonic() < deadline, f"{jobs}: {states} after {limit_s} s\n{self.logs()[-4000:]}"
            time.sleep(1)
        return states

    def cancel(self, *jobs: str) -> None:
        self._ask("scancel", *jobs)

    def logs(self) -> str:
        return "\n".join(file.read_text(errors="replace") for file in sorted(self.work.glob("*.log")))

    def _ask(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
