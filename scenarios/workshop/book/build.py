"""Builds the book: python3 build.py [--json] [--out FILE]. Ends with status 1 if something is wrong with it.

Says each fault as `file:line: what`, then a line with the counts; with --json only the counts, as one object. With --out
the pages go into one file, in the order of the table of contents. A link that leaves the book is a fault: what it leads to
is not there for whoever has the book. Needs nothing but Python.
"""
import json
import re
import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parent
TOC = BOOK / "toc.md"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def leads(page: Path, target: str) -> Path | None:
    """The file of the book that a link of a page leads to; none if there is no such file."""
    try:
        at = (page.parent / target.split("#")[0]).resolve()
        return at if at.is_relative_to(BOOK) and at.is_file() else None
    except (OSError, RuntimeError, ValueError):
        # A name that no file can have, or links in a circle.
        return None


def links(page: Path) -> list[tuple[int, str, Path | None]]:
    """The links of a page to other pages: line, as written, where they lead."""
    found = []
    for number, line in enumerate(page.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        for target in LINK.findall(line):
            if not re.match(r"[a-z]+:|#", target):
                found.append((number, target, leads(page, target)))
    return found


def main(arguments: list[str]) -> int:
    faults = []
    chapters = sorted(page for page in (BOOK / "chapters").glob("*.md") if page.is_file())
    if not TOC.is_file():
        faults.append("toc.md:1: there is no table of contents")
    pages = ([TOC] if TOC.is_file() else []) + chapters
    count, listed = 0, []
    for page in pages:
        name = page.relative_to(BOOK)
        for line, target, at in links(page):
            count += 1
            if at is None:
                faults.append(f"{name}:{line}: the link {target} leads nowhere")
            elif page == TOC:
                listed.append(at)
    for page in chapters:
        name = page.relative_to(BOOK)
        if listed.count(page) != 1:
            faults.append(f"{name}:1: it stands in the table of contents {listed.count(page)} times, not once")
        if not page.read_text(encoding="utf-8", errors="replace").startswith("# "):
            faults.append(f"{name}:1: its first line is no title (# Title)")
    there = [page for page in dict.fromkeys(listed) if page in chapters]
    if "--json" in arguments:
        print(json.dumps({"chapters": len(there), "links": count, "broken": len(faults)}))
    else:
        print(*faults, f"{len(there)} chapters, {count} links, {len(faults)} broken", sep="\n")
    if "--out" in arguments:
        texts = [page.read_text(encoding="utf-8", errors="replace") for page in there]
        Path(arguments[arguments.index("--out") + 1]).write_text("\n".join(texts), encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
