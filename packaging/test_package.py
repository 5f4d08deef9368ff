#!/usr/bin/env python3
"""Makes the Debian package and looks at it: test_package.py [--install] [--binary FILE]

With --install also in a bare Debian 12 made for the purpose: installed by apt, a broker run as the service would run it,
written to and read, upgraded, removed, purged; then the same system booted, and the service run by its systemd. Needs root,
debootstrap and a mirror; is skipped, and says so, without.
"""
import argparse
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/integration")]

import wire  # noqa: E402
from booted_system import BootedSystem, CannotBoot  # noqa: E402
from harness import brokers  # noqa: E402

SUITE = "bookworm"


class Skip(Exception):
    pass


def run(*command, **options) -> str:
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def make(binary, out: pathlib.Path, version: str | None = None) -> pathlib.Path:
    environment = dict(os.environ) | ({"WEIR_PACKAGE_VERSION": version} if version else {})
    before = set(out.glob("*.deb"))
    run(ROOT / "packaging/make_packages.sh", binary, out, env=environment)
    (made,) = set(out.glob("*.deb")) - before
    return made


# --- the package as a file

def contents(deb):
    """Mode, owner and path of each file."""
    for line in run("dpkg-deb", "--contents", deb).splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        yield mode, owner, path


def it_has_what_belongs_in_it(deb, _folder):
    files = {path: mode for mode, _, path in contents(deb) if not mode.startswith("d")}
    documents = {path: files.pop(path) for path in list(files) if path.startswith("./usr/share/doc/weir/")}
    for name in ("README.md", "LICENSE", "copyright", "changelog.gz", "configuration.md", "observability.md",
                 "differences.md", "apis.md", "upgrades.md", "operations.md", "groups.md", "migration.md", "backup.md", "sizing.md", "dashboards/weir.json",
                 "dashboards/rules.yml", "formats/segments.md"):
        assert documents.get("./usr/share/doc/weir/" + name) == "-rw-r--r--", f"{name}: {documents}"
    expected = {"./usr/bin/weir": "-rwxr-xr-x", "./etc/weir/weir.properties": "-rw-r--r--",
                "./lib/systemd/system/weir.service": "-rw-r--r--", "./usr/share/man/man1/weir.1.gz": "-rw-r--r--"}
    assert files == expected, f"{files}"
    owners = {owner for _, owner, _ in contents(deb)}
    assert owners == {"root/root"}, owners
    assert deb.stat().st_size < 12 << 20, f"{deb.stat().st_size >> 20} MiB"


def its_documents_name_what_is_there(deb, folder):
    """For those who run it: links lead somewhere, and nothing is told of the source tree but that there is one."""
    run("dpkg-deb", "--extract", deb, folder / "tree")
    documents = folder / "tree/usr/share/doc/weir"
    links = 0
    for page in sorted(documents.rglob("*.md")):
        text = page.read_text()
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not target.startswith(("http:", "https:", "#")):
                links += 1
                assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target} is not there"
        if page.parent == documents:
            found = re.search(r"\./dev\b|\b(src|tests|benchmarks|packaging|docs)/", text)
            assert not found, f"{page.name} names {found[0]}, of the source tree"
    readme = (documents / "README.md").read_text()
    for name in re.findall(r"^\| `([^`]+)`(?:, `([^`]+)`)? \|", readme.partition("## Documents")[2], re.MULTILINE):
        assert all((documents / one).exists() for one in name if one), name
    for word in ("systemctl status weir", "kcat", "/etc/weir/weir.properties", "/var/lib/weir"):
        assert word in readme, word
    service = (folder / "tree/lib/systemd/system/weir.service").read_text()
    for page in re.findall(r"file:(/\S+)", re.search("^Documentation=(.*)$", service, re.MULTILINE)[1]):
        assert (folder / "tree" / page[1:]).exists(), page
    return f"{links} links"


def its_control_file_is_right(deb, folder):
    fields = dict(re.findall(r"^ ?([\w-]+): (.+)$", run("dpkg-deb", "--field", deb), re.MULTILINE))
    for name in ("Package", "Version", "Architecture", "Maintainer", "Depends", "Description", "Installed-Size"):
        assert fields.get(name), f"{name} is missing: {fields}"
    packages = {word.split()[0] for word in fields["Depends"].split(",")}
    known = ("init-system-helpers", "passwd", "zlib1g")
    foreign = {name for name in packages if name not in known and not name.startswith("lib")}
    assert not foreign, f"depends on {foreign}"
    control = folder / "control"
    run("dpkg-deb", "--control", deb, control)
    assert (control / "conffiles").read_text().split() == ["/etc/weir/weir.properties"]
    for script in ("postinst", "prerm", "postrm"):
        assert os.access(control / script, os.X_OK), f"{script} cannot be run"
        run("sh", "-n", control / script)
    run("dpkg-deb", "--extract", deb, folder / "tree")
    run("md5sum", "--quiet", "-c", control / "md5sums", cwd=folder / "tree")
    return fields["Depends"]


def its_program_runs(deb, folder):
    run("dpkg-deb", "--extract", deb, folder / "tree")
    binary = folder / "tree/usr/bin/weir"
    assert re.match(r"weir \d+\.\d+\.\d+", run(binary, "version"))
    assert "not stripped" not in run("sh", "-c", f"command -v file >/dev/null && file {binary} || true")
    assert str(ROOT).encode() + b"/src" not in binary.read_bytes(), "the build's paths are in the program"


def its_unit_and_page_are_valid(deb, folder):
    run("dpkg-deb", "--extract", deb, folder / "tree")
    unit = (folder / "tree/lib/systemd/system/weir.service").read_text()
    assert "User=weir" in unit and "Type=notify" in unit and "ExecStart=/usr/bin/weir serve" in unit
    page = run("sh", "-c", f"zcat {folder}/tree/usr/share/man/man1/weir.1.gz")
    for option in re.findall(r"^  (--[a-z-]+)", run(folder / "tree/usr/bin/weir", "serve", "--help"), re.MULTILINE):
        assert option.replace("-", "\\-") in page, f"the manual page does not know {option}"
    if shutil.which("groff"):
        said = run("sh", "-c", f"zcat {folder}/tree/usr/share/man/man1/weir.1.gz | groff -ww -man -Tascii -z 2>&1")
        assert not said.strip(), said


def its_unit_is_hardened(deb, folder):
    if not shutil.which("systemd-analyze"):
        raise Skip("systemd-analyze is not installed")
    run("dpkg-deb", "--extract", deb, folder / "tree")
    said = run("systemd-analyze", "security", "--no-pager", "--offline=true", folder / "tree/lib/systemd/system/weir.service")
    level = float(re.search(r"Overall exposure level for weir.service: ([0-9.]+)", said)[1])
    assert level <= 2.0, said
    return f"exposure {level}"


def its_rules_are_taken_by_prometheus(deb, folder):
    if not shutil.which("promtool"):
        raise Skip("promtool (Debian's package prometheus) is not installed")
    run("dpkg-deb", "--extract", deb, folder / "tree")
    said = run("promtool", "check", "rules", folder / "tree/usr/share/doc/weir/dashboards/rules.yml")
    return said.strip().splitlines()[-1].strip()


def its_tarball_has_licence_and_checksum(deb, _folder):
    (tarball,) = deb.parent.glob("weir-*.tar.gz")
    names = run("tar", "-tzf", tarball).split()
    for end in ("/LICENSE", "/README.md", "/usr/bin/weir"):
        assert any(name.endswith(end) for name in names), names
    (sums,) = deb.parent.glob("*.sha256")
    run("sha256sum", "--strict", "-c", sums.name, cwd=deb.parent)


def its_scripts_ask_the_policy_and_hide_no_failure(deb, folder):
    """postinst and prerm against stand-ins for what they call, in a machine that seems to run systemd."""
    run("dpkg-deb", "--control", deb, folder / "control")
    tools = folder / "bin"
    tools.mkdir()
    for tool in ("getent", "useradd", "install", "systemctl", "deb-systemd-helper"):
        (tools / tool).write_text(f'#!/bin/sh\necho {tool} "$@" >>{folder}/calls\n')
    (tools / "deb-systemd-invoke").write_text(f'#!/bin/sh\necho invoke "$@" >>{folder}/calls\nexit ${{INVOKE_STATUS:-0}}\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)

    def calls(script: str, *arguments: str, status: int = 0) -> tuple[int, list[str]]:
        (folder / "calls").write_text("")
        text = (folder / "control" / script).read_text().replace("/run/systemd/system", str(folder))
        done = subprocess.run(["sh", "-c", text, script, *arguments], capture_output=True, text=True,
                              env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "INVOKE_STATUS": str(status)})
        return done.returncode, (folder / "calls").read_text().splitlines()

    code, made = calls("postinst", "configure", "")
    assert code == 0 and "deb-systemd-helper enable weir.service" in made and "invoke start weir.service" in made, made
    assert not any(re.match("systemctl.*(start|--now)", call) for call in made), f"started past the policy: {made}"
    code, made = calls("postinst", "configure", "0.0.1")
    assert code == 0 and "invoke restart weir.service" in made and "invoke start weir.service" not in made, made
    assert calls("postinst", "configure", "", status=1)[0] != 0, "a start that failed is hidden"
    code, made = calls("prerm", "remove")
    assert code == 0 and "invoke stop weir.service" in made, made


def the_same_sources_make_the_same_package(deb, folder):
    again = folder / "again"
    again.mkdir()
    made = make(BINARY, again)
    assert made.read_bytes() == deb.read_bytes(), "two runs differ"


# --- the package in a bare system

class System:
    """A Debian of its own in a folder."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        if os.geteuid() != 0:
            raise Skip("only root can make a Debian to install it in")
        if not shutil.which("debootstrap"):
            raise Skip("debootstrap is not installed")
        mirror = os.environ.get("WEIR_DEBIAN_MIRROR", "http://deb.debian.org/debian")
        try:
            run("debootstrap", "--variant=minbase", "--include=systemd-sysv,iproute2", SUITE, folder, mirror, timeout=600)
        except (AssertionError, subprocess.TimeoutExpired) as problem:
            raise Skip(f"debootstrap did not succeed: {str(problem)[-400:]}") from None
        for name in ("/etc/apt/apt.conf", "/etc/resolv.conf"):
            if os.path.exists(name):
                shutil.copy(name, str(folder) + name)
        # No service is started in here.
        (folder / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (folder / "usr/sbin/policy-rc.d").chmod(0o755)
        run("mount", "-t", "proc", "proc", folder / "proc")

    def close(self):
        subprocess.run(["umount", str(self.folder / "proc")], capture_output=True)

    def run(self, *command) -> str:
        return run("chroot", self.folder, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", *command, timeout=600)

    def install(self, deb):
        shutil.copy(deb, self.folder / "weir.deb")
        return self.run("apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "APT::Sandbox::User=root", "/weir.deb")

    @contextlib.contextmanager
    def broker(self):
        """As the unit starts it."""
        unit = (self.folder / "lib/systemd/system/weir.service").read_text()
        command = re.search(r"^ExecStart=(.+)$", unit, re.MULTILINE)[1].split()
        port = brokers.free_port()
        log = open(self.folder / "weir.log", "ab")
        process = subprocess.Popen(
            ["chroot", "--userspec=weir:weir", str(self.folder), *command, "--listeners", f"PLAINTEXT://127.0.0.1:{port}",
             "--http", "off"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 60
            while not brokers.announced_apis(port):
                said = (self.folder / "weir.log").read_text(errors="replace")[-2000:]
                assert process.poll() is None, f"the broker ended with {process.returncode}:\n{said}"
                assert time.monotonic() < end, f"the broker does not answer:\n{said}"
                time.sleep(0.05)
            with wire.Client(port) as client:
                yield client
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, f"ended with {process.returncode}"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            log.close()


def it_installs_runs_upgrades_and_goes(deb, folder):
    newer = make(BINARY, folder, "99.0.0")
    place = folder / "debian"
    system = System(place)
    try:
        # What the distribution's mirror has is what is depended upon.
        system.run("apt-get", "update", "-q", "-o", "APT::Sandbox::User=root")
        before = set(system.run("dpkg-query", "-W", "-f=${Package}\n").split())
        system.install(deb)
        added = set(system.run("dpkg-query", "-W", "-f=${Package}\n").split()) - before
        assert "weir" in system.run("getent", "passwd", "weir")
        with system.broker() as client:
            client.create_topic("greetings")
            assert client.produce("greetings", wire.batch(b"hello")) == (0, 0)
        settings = place / "etc/weir/weir.properties"
        settings.write_text(settings.read_text() + "num.partitions=3\n")
        system.install(newer)
        assert "99.0.0" in system.run("dpkg-query", "-W", "weir")
        assert "num.partitions=3" in settings.read_text(), "the upgrade lost what was configured"
        with system.broker() as client:
            assert dict(wire.payloads(client.fetch("greetings", 0)[2])) == {0: b"hello"}
        system.run("apt-get", "remove", "-y", "-q", "weir")
        assert not (place / "usr/bin/weir").exists() and settings.exists()
        assert (place / "var/lib/weir/meta.properties").exists(), "the data went with the package"
        system.run("apt-get", "purge", "-y", "-q", "weir")
        assert not settings.exists() and (place / "var/lib/weir/meta.properties").exists()
        said = f"with {', '.join(sorted(added))}"
    finally:
        system.close()
    return said + "; " + it_runs_under_systemd(deb, newer, place)


# Writes a record to the broker of the service, and expects all those written before.
CLIENT = """
import sys
sys.path[:0] = sys.argv[1:3]
import wire
with wire.Client(9092) as client:
    turn = int(sys.argv[3])
    if turn == 0:
        client.create_topic("sandboxed")
    assert client.produce("sandboxed", wire.batch(b"%d" % turn)) == (0, turn)
    found = {}
    while len(found) <= turn:
        more = dict(wire.payloads(client.fetch("sandboxed", len(found))[2]))
        assert more, found
        found |= more
    assert found == {i: b"%d" % i for i in range(turn + 1)}, found
"""


def it_runs_under_systemd(deb, newer, place) -> str:
    """The system from before, with the package's dependencies installed and its own data, booted."""
    (place / "usr/sbin/policy-rc.d").unlink()
    shutil.copy(deb, place / "weir.deb")
    shutil.copy(newer, place / "newer.deb")
    settings = place / "etc/weir/weir.properties"
    try:
        with BootedSystem(place) as system:
            def done(*command) -> str:
                ended = system.run(*command)
                assert ended.returncode == 0, f"{command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
                return ended.stdout

            def fact(name: str) -> str:
                return done("systemctl", "show", "--property", name, "--value", "weir.service").strip()

            def health() -> str:
                return done("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9644; "
                                          "printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3")

            def write(turn: int) -> None:
                ended = system.run_beside(sys.executable, "-c", CLIENT, ROOT / "tests", ROOT / "tests/integration", turn)
                assert ended.returncode == 0, ended.stderr

            done("dpkg", "--install", "/weir.deb")
            started = (fact("ActiveState"), fact("StatusText"))
            assert started == ("active", "Serving"), done("journalctl", "--unit", "weir.service")
            status = (pathlib.Path(f"/proc/{system.init}/root/proc") / fact("MainPID") / "status").read_text()
            for fact_of_sandbox in (r"^Seccomp:\s+2$", r"^CapBnd:\s+0+$", r"^NoNewPrivs:\s+1$"):
                assert re.search(fact_of_sandbox, status, re.MULTILINE), status
            # A clean stop, a kill: recovery works in the sandbox, and the service comes back by itself.
            first = fact("MainPID")
            assert '"status":"pass"' in health(), health()
            write(0)
            done("systemctl", "restart", "weir.service")
            assert '"clean":true' in health(), health()
            restarted = fact("MainPID")
            assert restarted != first
            write(1)
            done("systemctl", "kill", "--signal=KILL", "weir.service")
            end = time.monotonic() + 30
            while fact("MainPID") in ("0", restarted) or fact("ActiveState") != "active":
                assert time.monotonic() < end, "it does not come back"
                time.sleep(0.05)
            assert '"clean":false' in health(), health()
            write(2)
            journal = done("journalctl", "--unit", "weir.service")
            for refusal in ("Operation not permitted", "Permission denied", "Read-only"):
                assert refusal not in journal, journal
            # An upgrade restarts it; settings that are wrong fail the upgrade, and are not tried again and again.
            done("dpkg", "--install", "/newer.deb")
            assert fact("ActiveState") == "active"
            write(3)
            right = settings.read_text()
            settings.write_text(right + "num.partition=3\n")
            ended = system.run("dpkg", "--install", "/weir.deb")
            assert ended.returncode != 0 and "journalctl -u weir.service" in ended.stderr, ended.stderr
            assert fact("ActiveState") == "failed" and fact("NRestarts") == "0", fact("NRestarts")
            settings.write_text(right)
            done("dpkg", "--configure", "weir")
            # Disabled it stays, over an upgrade and a removal.
            done("systemctl", "disable", "--now", "weir.service")
            done("dpkg", "--install", "/newer.deb")
            assert fact("ActiveState") == "inactive"
            done("dpkg", "--remove", "weir")
            done("dpkg", "--install", "/newer.deb")
            assert fact("ActiveState") == "inactive"
            done("systemctl", "enable", "--now", "weir.service")
            done("dpkg", "--remove", "weir")
            done("dpkg", "--install", "/newer.deb")
            assert fact("ActiveState") == "active"
            done("dpkg", "--purge", "weir")
            assert not list((place / "etc/systemd/system").rglob("weir.service"))
            return "the service runs under systemd"
    except CannotBoot as reason:
        return f"not booted: {reason}"


def main() -> int:
    global BINARY
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--binary", default=str(ROOT / "build/release/bin/weir"))
    arguments = parser.parse_args()
    BINARY = pathlib.Path(arguments.binary).resolve()
    cases = [it_has_what_belongs_in_it, its_control_file_is_right, its_program_runs, its_unit_and_page_are_valid,
             its_unit_is_hardened, its_documents_name_what_is_there, its_rules_are_taken_by_prometheus,
             its_tarball_has_licence_and_checksum, its_scripts_ask_the_policy_and_hide_no_failure, the_same_sources_make_the_same_package]
    cases += [it_installs_runs_upgrades_and_goes] if arguments.install else []
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory(prefix="weir-package-") as place:
        out = pathlib.Path(place) / "out"
        out.mkdir()
        try:
            deb = make(BINARY, out)
        except (AssertionError, ValueError) as problem:
            print(f"FAILED  the package cannot be made: {problem}\npackage: 0 passed, 1 failed, 0 skipped")
            return 1
        for case in cases:
            started, name = time.monotonic(), case.__name__.replace("_", " ")
            folder = pathlib.Path(place) / case.__name__
            folder.mkdir()
            try:
                said = case(deb, folder)
                passed += 1
                print(f"ok      {name}{': ' + said if said else ''} ({time.monotonic() - started:.1f} s)", flush=True)
            except Skip as reason:
                skipped += 1
                print(f"SKIPPED {name}: {reason}", flush=True)
            except Exception as problem:  # a case may fail in any way, and the others still run
                failed += 1
                print(f"FAILED  {name}: {type(problem).__name__}: {problem}", flush=True)
    print(f"package: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
