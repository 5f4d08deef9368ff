"""A Debian in a folder, booted: systemd as process 1 of namespaces of its own, without a network.

What a unit's sandbox forbids is only seen under the real service manager.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import time

# Run as process 1 of the new namespaces; $0 is the root. Only control groups of our own are seen in it.
BOOT = r"""
set -e
mount --make-rprivate /
mount --bind "$0" "$0"
cd "$0"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
if [ -e /sys/fs/cgroup/cgroup.procs ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
  mkdir sys/fs/cgroup/unified sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
  touch dev/$node
  mount --bind /dev/$node dev/$node
done
mkdir dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
ip link set lo up
pivot_root . mnt
umount -l mnt
exec env -i container=weir-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --show-status=false
"""
SECONDS_MAX = 120


class CannotBoot(Exception):
    """This machine does not let us; the text says why."""


class BootedSystem:
    def __init__(self, root: pathlib.Path):
        self.root = root
        self.log = root.parent / "boot.log"
        self.groups = [pathlib.Path(where) / f"weir-test-{os.getpid()}"
                       for where in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                       if os.path.exists(f"{where}/cgroup.procs")]
        self.process: subprocess.Popen | None = None
        self.init = 0

    def __enter__(self) -> "BootedSystem":
        try:
            self.boot()
        except (CannotBoot, OSError, subprocess.SubprocessError) as problem:
            self.close()
            said = self.log.read_text(errors="replace")[-500:] if self.log.exists() else ""
            raise CannotBoot(f"{problem}; {said}") from None
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def boot(self) -> None:
        for tool in ("unshare", "nsenter", "pivot_root", "ip"):
            if not shutil.which(tool):
                raise CannotBoot(f"{tool} is not installed")
        for group in self.groups:
            group.mkdir()

        def enter_groups() -> None:
            for group in self.groups:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net", "--cgroup", "sh", "-c", BOOT,
                 str(self.root)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=enter_groups)
        end = time.monotonic() + SECONDS_MAX
        while not self.is_up():
            if self.process.poll() is not None:
                raise CannotBoot(f"unshare ended with {self.process.returncode}")
            if time.monotonic() > end:
                raise CannotBoot(f"systemd is not up after {SECONDS_MAX} s")
            time.sleep(0.2)

    def is_up(self) -> bool:
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if not children or pathlib.Path(f"/proc/{children[0]}/comm").read_text().strip() != "systemd":
            return False
        self.init = int(children[0])
        return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def run(self, *command) -> subprocess.CompletedProcess:
        inside = ["nsenter", "--target", str(self.init), "--all", "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"]
        return subprocess.run([*inside, *map(str, command)], capture_output=True, text=True, errors="replace", timeout=120)

    def run_beside(self, *command) -> subprocess.CompletedProcess:
        """A program of this machine, in the network of the booted one."""
        return subprocess.run(["nsenter", "--target", str(self.init), "--net", *map(str, command)], capture_output=True, text=True,
                              errors="replace", timeout=120)

    def close(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)  # and with it everything in the namespaces
            self.process.wait()
        end = time.monotonic() + 10
        for group in self.groups:
            for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True) + [group]:
                while folder.exists():
                    try:
                        folder.rmdir()
                    except OSError:  # the last processes are on their way out
                        if time.monotonic() > end:
                            break
                        time.sleep(0.05)
