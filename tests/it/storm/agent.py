"""A seat of the storm: edits its desk with every tool there is, leases, publishes, and dies now and then.

Each version that the host acknowledged goes into `acknowledged`, one line each, with what stood on the desk when it was
asked for. Tools that are not installed are passed over.
"""
import json
import os
import random
import shutil
import subprocess
import sys

PATHS = ["a.md", "b.md", "c.md", "d/a.md", "d/b.md", "d/e/a.md", "new.md", "d/new.md", "f/new.md"]
ME = sys.argv[1]
chance = random.Random(ME)
acknowledged = open("acknowledged", "a")
busy = set()


def has(tool):
    return shutil.which(tool) is not None


def sh(script, path, line):
    """What fails is part of a storm: not every path is there for every tool."""
    subprocess.run(["sh", "-c", script, "sh", path, line], cwd="shared", stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)


def replace(path, line):
    at = os.path.join("shared", path)
    lines = open(at).read().splitlines()
    lines[chance.randrange(len(lines) + 1):] = [line] if chance.random() < 0.2 else [line] + lines[-20:]
    with open(at + ".part", "w") as part:
        part.write("\n".join(lines) + "\n")
    os.replace(at + ".part", at)


def in_place(path, line):
    with open(os.path.join("shared", path), "r+b") as file:
        file.seek(chance.randrange(40))
        file.write(line.encode())


def still_writing(path, line):
    """A process of the seat that writes on while the desk is read."""
    busy.add(path)
    script = 'n=0; while [ $n -lt 400 ]; do echo "$2 $n" >> "$1"; n=$((n + 1)); done'
    subprocess.Popen(["sh", "-c", script, "sh", path, line], cwd="shared", stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


N = "n=$(($$ % 20 + 1)); "
TOOLS = {
    "redirect": 'mkdir -p "$(dirname "$1")"; echo "$2" > "$1"',
    "append": 'echo "$2" >> "$1"',
    "tee": 'echo "$2" | tee "$1"',
    "cp": 'echo "$2" > ../mine; cp ../mine "$1"',
    "mv": 'echo "$2" > .mine.$$; mv .mine.$$ "$1"',
    "dd": 'echo "$2" | dd of="$1" conv=notrunc',
    "truncate": 'truncate -s 30 "$1"',
    "sed": N + 'sed -i "${n}s|.*|$2|" "$1"',
    "perl": N + 'perl -i -pe "s|.*|$2| if \\$. == $n" "$1"',
    "ed": N + 'printf "%s\\n" "${n}c" "$2" . w q | ed -s "$1"',
    "vim": N + 'vim -u NONE -es -c "${n}s|.*|$2|" -c wq "$1"',
    "sort": 'sort -o "$1" "$1"',
    "node": "node -e 'require(\"fs\").appendFileSync(process.argv[1], process.argv[2] + \"\\n\")' \"$1\" \"$2\"",
    "patch": 'cp "$1" ../old; sed "3s|.*|$2|" "$1" > ../new; diff -u ../old ../new > ../change; patch "$1" ../change',
    "git": 'git init -q . && git add -A && git -c user.name=s -c user.email=s@s commit -qm x; rm -rf .git',
    "chmod": 'chmod +x "$1"',
    "unset": 'chmod 600 "$1"',
    "rm": 'rm -f "$1"',
    "rename": 'mv "$1" "$1.old"; mv d/e f',
    "mkdir": 'mkdir -p "g/$$"',
    "rmdir": 'rmdir g/*',
    "hard link": 'ln "$1" ../mine.$$',
    "link": 'ln -s nowhere "link.$$"; [ $(($$ % 2)) = 0 ] || rm -f link.*',
    "pipe": 'mkfifo "pipe.$$"; rm -f pipe.*',
    "replace": replace,
    "in place": in_place,
    "still writing": still_writing,
}
NAMES = [name for name in TOOLS if has(name) or name not in ("perl", "ed", "vim", "node", "patch", "git")]


def edit():
    name, path = chance.choice(NAMES), chance.choice(PATHS)
    line = f"{ME} {chance.randrange(10**6)} {name}"
    tool = TOOLS[name]
    try:
        sh(tool, path, line) if isinstance(tool, str) else tool(path, line)
    except (OSError, UnicodeDecodeError):
        pass


def desk(*words):
    done = subprocess.run(["desk", "--json", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout) if done.stdout else {"ok": False, "data": {}}


def text(path):
    try:
        with open(os.path.join("shared", path), encoding="latin-1", newline="") as file:
            return file.read()
    except OSError:
        return None


def publish():
    before = {}
    for folder, _, names in os.walk("shared"):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), "shared")
            if not os.path.islink(os.path.join("shared", path)) and name.find("pipe.") < 0:
                before[path] = text(path)
    answer = desk("publish")
    for version in answer["data"].get("published", []):
        path = version["path"]
        if path not in busy and not version["merged"]:
            version["text"] = before.get(path)
        acknowledged.write(json.dumps(version) + "\n")
        acknowledged.flush()
    busy.clear()
    for refused in answer["data"].get("refused", []):
        desk("take", refused["path"])


def die():
    subprocess.Popen(["sh", "-c", f"sleep 0.{chance.randrange(300):03}; kill -9 {os.getpid()}"])


for message in map(json.loads, sys.stdin):
    if message["type"] == "hello":
        print('{"type":"ready"}', flush=True)
    elif message["type"] == "observe":
        for result in message["results"]:
            if result.get("action") == "publish":
                for path in PATHS:
                    chance.random() < 0.3 and desk("take", path)
        if chance.random() < 1 / 60:
            die()
        if chance.random() < 0.15:
            desk("lease", chance.choice(PATHS + ["d/**", "**"]), f"0.{chance.randrange(1, 9)}")
        for _ in range(chance.randrange(4)):
            edit()
        if chance.random() < 0.6:
            publish()
        if chance.random() < 0.1:
            desk("release", chance.choice(PATHS + ["d/**", "**"]))
        print(json.dumps({"type": "act", "tick": message["tick"]}), flush=True)
    elif message["type"] == "end":
        break
