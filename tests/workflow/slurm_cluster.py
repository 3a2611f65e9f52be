"""A real SLURM of one node with fake GPUs, in Linux namespaces of its own; for tests only.

As root, with Debian's packages munge, slurmctld, slurmd and slurm-client, and without systemd,
cgroups, a database or a GPU:

- `unshare` gives the cluster process ids, a network of nothing but 127.0.0.1, a host name and
  mounts of its own. So nothing listens outside, /etc is left alone, and two clusters do not meet;
- this file's `main` is process 1 in there: when it ends, the kernel ends every daemon and job. It
  ends when its standard input closes, which also happens when the test is killed;
- each GPU is a link to /dev/null: SLURM schedules it, counts it and sets CUDA_VISIBLE_DEVICES as
  for a real device;
- the node claims more cores than there are, so that the GPUs decide how many jobs run at once.
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "unshare", "nsenter")
NODE = "node"
CLAIMED_CORES, CLAIMED_MEMORY = 16, 64000
# The partition's limit; a job that asks for more is turned away when it is submitted.
MAX_MINUTES = 60
# MinJobAge: squeue and scontrol remember finished jobs for an hour, since there is no database.
# JobRequeue=0: as on most clusters, a job is requeued only where it asks for that.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={node}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MailProg=/bin/true
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=0
KillWait=5
MinJobAge=3600
GresTypes=gpu
EnforcePartLimits=ALL
NodeName={node} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} Gres=gpu:fake:{gpus}
PartitionName=gpu Nodes={node} Default=YES MaxTime={minutes} State=UP
"""


def missing() -> str | None:
    """Why no cluster can be started here; None if one can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "no SLURM: not root"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"no SLURM: {', '.join(absent)} not installed"
    if subprocess.run([*_unshare(), "true"], capture_output=True).returncode:
        return "no SLURM: no namespaces of one's own here"
    return None


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _unshare() -> list[str]:
    kinds = ["--pid", "--mount-proc", "--net", "--uts", "--mount"]
    return ["unshare", *kinds, "--fork", "--kill-child", "--"]


class Cluster:
    """A running cluster with `gpus` fake GPUs, its files in `folder`; a context manager.

    Raises `RuntimeError` with the daemons' last words where it does not start in 60 s.
    """

    def __init__(self, folder: Path, gpus: int):
        self.folder, self.gpus = Path(folder).resolve(), gpus

    def __enter__(self) -> "Cluster":
        ready = self.folder / "ready"
        self._process = subprocess.Popen(
            [*_unshare(), sys.executable, __file__, str(self.folder), str(self.gpus)],
            stdin=subprocess.PIPE,
            env={**os.environ, "PATH": _path()},
        )
        for _ in range(600):
            if ready.exists() or self._process.poll() is not None:
                break
            time.sleep(0.1)
        if not ready.exists():
            self.__exit__()
            logs = [self.folder / f"{name}.log" for name in ("munged", "slurmctld", "slurmd")]
            words = [log.read_text()[-1500:] for log in logs if log.is_file()]
            raise RuntimeError("\n".join(["SLURM does not start", *words]))
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        self._first = children.split()[0]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def command(self, *arguments: str, cwd: Path = Path("/")) -> list[str]:
        """A command line that runs `arguments` within the cluster's namespaces."""
        inside = ["nsenter", f"--target={self._first}", "--pid", "--net", "--uts", "--mount"]
        return [*inside, "--", "env", "-C", str(cwd), f"PATH={_path()}", *arguments]

    def run(self, *arguments: str) -> str:
        """The output of a command within the cluster."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """SLURM's own record of every job so far, in the order of their submission."""
        listed = self.run("scontrol", "--oneliner", "--detail", "show", "job")
        rows = [line for line in listed.splitlines() if line.startswith("JobId=")]
        records = [
            dict(field.split("=", 1) for field in row.split() if "=" in field) for row in rows
        ]
        return sorted(records, key=lambda record: int(record["JobId"]))


def main(folder: Path, gpus: int) -> None:
    """Process 1 of the namespaces: set them up, start the daemons, wait for the end of stdin."""
    etc, devices = folder / "etc", folder / "dev"
    for made in (etc, devices, folder / "state", folder / "spool"):
        made.mkdir(parents=True, exist_ok=True)
    for number in range(gpus):
        (devices / f"gpu{number}").symlink_to("/dev/null")
    settings = {"node": NODE, "folder": folder, "gpus": gpus}
    settings |= {"cores": CLAIMED_CORES, "memory": CLAIMED_MEMORY, "minutes": MAX_MINUTES}
    (etc / "slurm.conf").write_text(CONFIGURATION.format(**settings))
    # CUDA_VISIBLE_DEVICES is set only for a file that is a device: /dev/null is one.
    files = f"{devices}/gpu[0-{gpus - 1}]"
    (etc / "gres.conf").write_text(
        f"NodeName={NODE} Name=gpu Type=fake File={files} Flags=nvidia_gpu_env\n"
    )
    (folder / "hosts").write_text(f"127.0.0.1 localhost {NODE}\n")
    socket.sethostname(NODE)
    _bring_up_network()
    Path("/etc/slurm").mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", str(etc), "/etc/slurm"], check=True)
    subprocess.run(["mount", "--bind", str(folder / "hosts"), "/etc/hosts"], check=True)
    key = folder / "munge.key"
    subprocess.run(["mungekey", "--create", f"--keyfile={key}"], check=True)
    munged = [f"--key-file={key}", f"--socket={folder}/munge.socket", "--force", "--foreground"]
    munged += [f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed"]
    _start(folder, "munged", *munged)
    while not (folder / "munge.socket").exists():
        time.sleep(0.05)
    _start(folder, "slurmctld", "-D", "-c")
    _start(folder, "slurmd", "-D")
    while "idle" not in _state():
        time.sleep(0.2)
    (folder / "ready").touch()
    sys.stdin.read()


def _bring_up_network() -> None:
    """What `ip link set lo up; ip address add` do, which a slim Debian does not have.

    The second address, of a range for documentation, is no less local; but the C library finds no
    names for daemons to listen on where 127.0.0.1 is the only address.
    """
    set_address, read_flags, write_flags, up = 0x8916, 0x8913, 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        answer = fcntl.ioctl(handle, read_flags, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", answer)[1] | up
        fcntl.ioctl(handle, write_flags, struct.pack("16sh14x", b"lo", flags))
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton("192.0.2.1"))
        fcntl.ioctl(handle, set_address, struct.pack("16s16s", b"lo:0", address))


def _start(folder: Path, *command: str) -> None:
    with open(folder / f"{command[0]}.log", "wb") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _state() -> str:
    asked = ["sinfo", "--noheader", f"--nodes={NODE}", "--format=%T"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=5).stdout
    except subprocess.TimeoutExpired:
        return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
