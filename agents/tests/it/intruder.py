"""An agent that tries to reach what is not its own, and does honest work; what came of each goes to `report.json`.

intruder.py victim NAME       plays well, with its workspace open to everybody
intruder.py many|memory|big   uses more than it may: files, memory, the size of a file
intruder.py hop               leaves processes that fork and exit without end, each with a session of its own
intruder.py attack OPEN SHUT NAME SHARED HOST   NAME: the victim's, and of the host's abstract socket
"""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

libc = ctypes.CDLL(None, use_errno=True)
HERE = os.getcwd()
ROOT = os.path.dirname(HERE)
VICTIM = os.path.join(os.path.dirname(ROOT), "victim")
SECRET = "the-key-of-the-host"


def system(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def number(x86, arm):
    return x86 if os.uname().machine == "x86_64" else arm


def write(path, text="x", mode="w"):
    with open(path, mode) as out:
        out.write(text)


def read(path):
    with open(path, "rb") as file:
        return file.read(1000)


def processes(word):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = read(f"/proc/{name}/cmdline").decode(errors="replace").split("\0")
            if int(name) != os.getpid() and word in words:
                found.append(int(name))
        except OSError:
            pass
    return found


def secrets():
    """Reads every environment and memory map that can be read; an error if none holds the secret."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if SECRET.encode() in file.read():
                    return
        except OSError:
            pass
    raise PermissionError(errno.EACCES, "no environment holds the secret")


def connect(family, kind, address, protocol=0):
    with socket.socket(family, kind, protocol) as s:
        s.settimeout(10)
        s.connect(address)


def fast_open(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.sendto(b"x", 0x20000000, ("127.0.0.1", port))


def udp(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", (address, 9))


def bind(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.bind((address, 0))


def listen():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.listen()


def inet(kind, protocol=0, family=socket.AF_INET):
    socket.socket(family, kind, protocol).close()


def attacks(shut, abstract, shared, host, victim):
    mine = f"{VICTIM}/workspace/mine"
    keeper = int(read(f"/proc/{victim}/stat").decode().rsplit(")", 1)[1].split()[1])
    yield "list the victim's workspace", lambda: os.listdir(f"{VICTIM}/workspace")
    yield "list the victim's folder", lambda: os.listdir(VICTIM)
    yield "list all seats", lambda: os.listdir(os.path.dirname(VICTIM))
    yield "read a file", lambda: read(mine)
    yield "write a file", lambda: write(mine)
    yield "append to a file", lambda: write(mine, mode="a")
    yield "truncate a file", lambda: os.truncate(mine, 0)
    yield "create a file", lambda: write(f"{VICTIM}/workspace/planted")
    yield "make a folder", lambda: os.mkdir(f"{VICTIM}/workspace/planted")
    yield "make a link", lambda: os.symlink("/", f"{VICTIM}/workspace/planted")
    yield "make a fifo", lambda: os.mkfifo(f"{VICTIM}/workspace/planted")
    yield "remove a file", lambda: os.unlink(mine)
    yield "rename a file", lambda: os.rename(mine, f"{VICTIM}/workspace/other")
    yield "take a file", lambda: os.rename(mine, f"{HERE}/taken")
    yield "put a file", lambda: os.rename(f"{HERE}/own", f"{VICTIM}/workspace/put")
    yield "link a file", lambda: os.link(mine, f"{HERE}/linked")
    yield "chmod a file", lambda: os.chmod(mine, 0o777)
    yield "chmod the workspace", lambda: os.chmod(f"{VICTIM}/workspace", 0o777)
    yield "rename the workspace", lambda: os.rename(f"{VICTIM}/workspace", f"{VICTIM}/gone")
    yield "read the victim's program", lambda: read(f"{VICTIM}/program/intruder.py")
    yield "read the victim's log", lambda: read(f"{VICTIM}/stderr.log")
    yield "write its own log", lambda: write(f"{ROOT}/stderr.log")
    yield "write its own program", lambda: write(f"{ROOT}/program/planted")
    yield "change its own program", lambda: write(f"{ROOT}/program/intruder.py")
    yield "make a file beside its workspace", lambda: write(f"{ROOT}/planted")
    yield "write the shared tree", lambda: write(f"{shared}/text")
    yield "create in the shared tree", lambda: write(f"{shared}/planted")
    for folder in ["/usr", "/etc", "/tmp", "/var/tmp", "/dev/shm", os.path.dirname(os.path.dirname(ROOT))]:
        yield f"write to {folder}", lambda folder=folder: write(f"{folder}/formicarium-planted")
    yield "list /tmp", lambda: os.listdir("/tmp")
    yield "list /root", lambda: os.listdir("/root")
    yield "list /run", lambda: os.listdir("/run")
    yield "list /var", lambda: os.listdir("/var")
    for name, pid in [("victim", victim), ("keeper", keeper), ("host", host)]:
        yield f"signal the {name}", lambda pid=pid: os.kill(pid, 0)
        yield f"stop the {name}", lambda pid=pid: os.kill(pid, signal.SIGSTOP)
        yield f"trace the {name}", lambda pid=pid: system(libc.ptrace(16, pid, None, None))
        yield f"environ of the {name}", lambda pid=pid: read(f"/proc/{pid}/environ")
        yield f"memory of the {name}", lambda pid=pid: read(f"/proc/{pid}/mem")
        yield f"descriptor numbers of the {name}", lambda pid=pid: os.listdir(f"/proc/{pid}/fd")
        yield f"a file open in the {name}", lambda pid=pid: os.readlink(f"/proc/{pid}/fd/0")
        yield f"folder of the {name}", lambda pid=pid: os.readlink(f"/proc/{pid}/cwd")
        yield f"files of the {name}", lambda pid=pid: os.listdir(f"/proc/{pid}/root")
        yield f"limits of the {name}", lambda pid=pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, 4))
        yield f"priority of the {name}", lambda pid=pid: os.setpriority(os.PRIO_PROCESS, pid, 19)
        yield f"processors of the {name}", lambda pid=pid: os.sched_setaffinity(pid, {0})
        yield f"descriptor of the {name}", lambda pid=pid: system(libc.syscall(438, os.pidfd_open(pid), 0, 0))
    yield "read memory by call", lambda: system(libc.syscall(number(310, 270), victim, None, 0, None, 0, 0))
    yield "find the host's secret", secrets
    yield "connect to another port", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", shut))
    yield "connect over MPTCP", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", shut), 262)
    yield "connect by fast open", lambda: fast_open(shut)
    yield "connect to an abstract socket", lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract)
    yield "bind a port", lambda: bind(socket.AF_INET, "127.0.0.1")
    yield "bind a port of IPv6", lambda: bind(socket.AF_INET6, "::1")
    yield "listen without a port", listen
    yield "send UDP", lambda: udp(socket.AF_INET, "127.0.0.1")
    yield "send UDP of IPv6", lambda: udp(socket.AF_INET6, "::1")
    yield "SCTP", lambda: inet(socket.SOCK_STREAM, 132)
    yield "a raw socket", lambda: inet(socket.SOCK_RAW, 1)
    yield "a packet socket", lambda: inet(socket.SOCK_RAW, 0, socket.AF_PACKET)
    yield "vsock", lambda: inet(socket.SOCK_STREAM, 0, socket.AF_VSOCK)
    yield "the kernel's ciphers", lambda: inet(socket.SOCK_SEQPACKET, 0, socket.AF_ALG)
    yield "netlink of the audit", lambda: inet(socket.SOCK_RAW, 9, socket.AF_NETLINK)
    yield "io_uring", lambda: system(libc.syscall(425, 4, ctypes.create_string_buffer(120)))
    yield "System V memory", lambda: system(libc.shmget(0, 4096, 0o1600))
    yield "a POSIX queue", lambda: system(libc.syscall(number(240, 180), b"formicarium", 0o102, 0o600, None))
    yield "keys", lambda: system(libc.syscall(number(250, 219), 0, -4, 0, 0, 0))
    yield "a user namespace", lambda: system(libc.unshare(0x10000000))
    yield "to be root", lambda: os.setuid(0)
    yield "the terminal", lambda: read("/dev/tty")
    if os.uname().machine == "x86_64":
        yield "the other calling convention", lambda: system(libc.syscall(0x40000000 + 39))


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise OSError(0, f"{command[0]}: status {done.returncode}: {done.stderr[-300:]}")
    return done.stdout


def expect(text, want):
    if want not in text:
        raise OSError(0, f"{want!r} expected in {text!r}")


NODE = """
const { Worker } = require('worker_threads'); const os = require('os'); const cp = require('child_process');
if (os.cpus().length < 1) throw new Error('no cpus');
os.networkInterfaces();
if (cp.execFileSync('/bin/echo', ['child']).toString() !== 'child\\n') throw new Error('child');
require('fs').writeFileSync('node.txt', 'node');
new Worker("require('worker_threads').parentPort.postMessage('worker')", { eval: true })
  .on('message', m => console.log(m)).on('error', e => { throw e; });
"""

PYTHON = """
import os, tempfile, threading
t = threading.Thread(target=lambda: open('thread', 'w').write('x')); t.start(); t.join()
with tempfile.NamedTemporaryFile() as f: f.write(b'x')
os.rename('thread', os.environ['HOME'] + '/thread')
assert os.cpu_count() >= 1
"""

GIT = """
set -e
git init -q repo && cd repo
git config user.email a@example.com && git config user.name A
echo one > file && git add file && git commit -qm one
git clone -q . ../clone && cd ../clone && git log --oneline
"""

BASH = """
set -e
echo a > f; echo b >> f; test "$(cat f)" = "$(printf 'a\\nb')"
cat <(echo piped) | grep piped
echo gone > /dev/null; echo out > /dev/stdout; echo err > /dev/stderr
sed -i s/a/c/ f; cp f g; mv g h; ln h i; ln -s h j; chmod 600 h; mkdir -p d/e; rm -r d i j
head -c 4 /dev/urandom | wc -c
printf '#!/bin/sh\\necho own\\n' > tool; chmod +x tool; ./tool
"""


def works(open_port, shared):
    yield "bash", lambda: expect(run("bash", "-c", BASH), "own")
    yield "python", lambda: run("python3", "-c", PYTHON)
    yield "node", lambda: expect(run("node", "-e", NODE), "worker")
    yield "git", lambda: expect(run("bash", "-c", GIT), "one")
    yield "connect to the port allowed", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", open_port))
    yield "read the shared tree", lambda: expect(read(f"{shared}/text").decode(), "shared")
    yield "its own temporary files", lambda: expect(tempfile.mkdtemp(), f"{ROOT}/tmp")
    yield "names of its own machine", lambda: socket.getaddrinfo("localhost", open_port, type=socket.SOCK_STREAM)
    yield "network interfaces", socket.if_nameindex
    yield "a socket pair", lambda: [end.close() for end in socket.socketpair()]
    yield "a signal to its own child", own_child


def own_child():
    child = subprocess.Popen(["sleep", "60"])
    child.kill()
    expect(str(child.wait()), "-9")


def attempt(report, kind, cases):
    for name, case in cases:
        try:
            case()
            report[kind][name] = "done"
        except Exception as error:  # Whatever it was, it is the report's.
            code = getattr(error, "errno", None)
            report[kind][name] = errno.errorcode.get(code) or f"{type(error).__name__}: {error}"


def attack(words):
    open_port, shut, abstract, shared, host = int(words[0]), int(words[1]), words[2], words[3], int(words[4])
    write(f"{HERE}/own")
    report = {"attacks": {}, "works": {}, "groups": os.getgroups(), "uid": os.getuid()}
    (victim,) = processes(abstract)
    attempt(report, "works", works(open_port, shared))
    attempt(report, "attacks", attacks(shut, abstract, shared, host, victim))
    status = read("/proc/self/status") + open("/proc/self/status", "rb").read()
    report["status"] = status.decode()
    write("report.json", json.dumps(report))


def hop():
    """A few processes that are never there for long; they end by themselves after a minute."""
    end = time.time() + 60
    for _ in range(8):
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while time.time() < end:
                if os.fork() != 0:
                    os._exit(0)
                os.setsid()
            os._exit(0)


def main():
    role, words = sys.argv[1], sys.argv[2:]
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "hello":
            if role == "victim":
                write("mine", "mine")
                os.chmod("mine", 0o666)
                os.chmod(".", 0o777)
            print(json.dumps({"type": "ready"}), flush=True)
        elif message["type"] == "observe":
            if role == "attack":
                attack(words)
            elif role == "hop":
                hop()
            elif role == "many":
                for name in range(200):
                    write(f"{name}")
            elif role == "memory":
                try:
                    write("said", str(len(bytearray(1 << 30))))
                except MemoryError:
                    write("said", "MemoryError")
            elif role == "big":
                try:
                    write("much", "x" * (2 << 20))
                except OSError as error:
                    write("said", errno.errorcode[error.errno])
            print(json.dumps({"type": "act", "tick": message["tick"], "actions": []}), flush=True)
        elif message["type"] == "end":
            break


main()
