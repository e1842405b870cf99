"""A writer of `workshop` in Python: writer.py [lease]. It edits as editors do, by a new file that takes the old one's place.

What a writer does at a tick: if its last publish was refused, it takes the table of contents as it is now. Then it brings
its chapter and its line of the table of contents to the present draft, and acts: the host publishes what changed. With
`lease` it keeps the table of contents for itself while it edits it, so that nobody collides.
"""
import json
import os
import subprocess
import sys

LEASES = "lease" in sys.argv[1:]
TOC = "shared/toc.md"


def desk(*words: str) -> bool:
    return subprocess.run(["desk", *words], capture_output=True).returncode == 0


def replace(path: str, text: str) -> None:
    with open("draft.tmp", "w") as file:
        file.write(text)
    os.replace("draft.tmp", path)


def write_chapter(seat: str, number: int, draft: int) -> None:
    path = f"shared/chapters/{seat}.md"
    before = f"writer-{number - 1}" if number > 1 else "preface"
    text = f"# Chapter {number}\n\nBefore it comes [{before}]({before}.md).\n"
    text += "".join(f"\n## Section {n}\n\nWritten by {seat} with Python.\n" for n in range(1, draft + 1))
    if not os.path.exists(path) or open(path).read() != text:
        replace(path, text)


def enter_in_toc(seat: str, number: int, draft: int) -> None:
    mine = f"- [Chapter {number} by {seat}, draft {draft}](chapters/{seat}.md)"
    with open(TOC) as file:
        lines = file.read().splitlines()
    if mine in lines:
        return
    if LEASES:
        # A lease brings the newest version onto the desk.
        if not desk("lease", "toc.md", "--wait", "10"):
            return
        with open(TOC) as file:
            lines = file.read().splitlines()
    own = [at for at, line in enumerate(lines) if f"(chapters/{seat}.md)" in line]
    if own:
        lines[own[0]] = mine
    else:
        lines.insert(lines.index(f"<!-- end of part {'one' if number % 2 else 'two'} -->"), mine)
    replace(TOC, "\n".join(lines) + "\n")
    if LEASES:
        desk("publish")
        desk("release", "toc.md")


def main() -> None:
    seat, number, last, draft = "", 0, 0, 0
    for message in map(json.loads, sys.stdin):
        if message["type"] == "hello":
            seat, last = message["seat"], message["time"]["ticks"]
            number = int(seat.rpartition("-")[2])
            print('{"type":"ready","name":"writer.py"}', flush=True)
        elif message["type"] == "observe":
            tick = message["tick"]
            refused = [r for r in message["results"] if r["action"] == "publish" and not r["ok"]]
            if refused:
                desk("take", "toc.md")
            elif tick <= last // 2 and tick >= 6 * draft and (number % 4 != 3 or tick >= 3):
                # The third of four comes three ticks late: until then links to its chapter lead nowhere.
                draft += 1
            if draft:
                write_chapter(seat, number, draft)
                if tick > 0:
                    enter_in_toc(seat, number, draft)
            act = {"type": "act", "tick": tick}
            if refused:
                act["thought"] = f"mine was refused: {refused[0]['reason']}"
            print(json.dumps(act), flush=True)
        elif message["type"] == "end":
            return


main()
