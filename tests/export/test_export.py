"""Exported tables, read by other programs: `VENV/bin/python tests/export/test_export.py` (tests/export/install.sh).

Parquet by polars, CSV by polars and Python's csv, JSON Lines by Python's json hold the same rows, and these are those of
the recording, which is read here by sqlite3 with queries of its own. docs/export/plots.py draws from them. The host is
`FORMICARIUM_BIN`, or what cargo has built.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
import unittest
import xml.etree.ElementTree as xml
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).resolve().parents[2]
TABLES = ["runs", "seats", "ticks", "actions", "events", "messages", "metrics", "files", "leases", "costs", "notes"]
Rows = list[tuple[Any, ...]]

#: Texts that formats like to lose.
TEXTS = ["", " ", '"', 'a,"b"\r\nc', "\n", "null", "NaN", "1.0"]
TEXTS += ["Käfer 蟻 🐜", "tab\there", "\\N", "'", "a\u2028b", "#no comment"]
#: Numbers that formats like to round.
NUMBERS = [0.1, -0.0, 1e300, 5e-324, 1 / 3, 123456789012345680.0, -1.5, 2.0**53 + 2]


def binary() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    given = os.environ.get("FORMICARIUM_BIN")
    places = [Path(given)] if given else [target / "release/formicarium", target / "debug/formicarium"]
    return next(place for place in places if place.is_file())


def host(*arguments: str | Path) -> str:
    done = subprocess.run([binary(), *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments} exited with {done.returncode}:\n{done.stderr}"
    return done.stdout


def play(out: Path, *arguments: str) -> Path:
    """A run whose agents are waited for however busy the machine is."""
    host("run", *arguments, "--out", out, "--headless", "--json", "--isolation", "advisory", "--deadline", "60s")
    return out


def recording(run: Path, mode: str = "ro") -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{run / 'run.db'}?mode={mode}", uri=True))


def add_what_no_quick_run_has(run: Path) -> None:
    """Costs, which need a model, and texts and numbers that formats like to change."""
    with recording(run, "rw") as db, db:
        for n, text in enumerate(TEXTS):
            cost = (n, n % 3, ("call", "turn")[n % 2], text, "complete", None if n % 2 else 200 + n, n, 2**40 + n, 0, n)
            usd, ms = (NUMBERS[n % len(NUMBERS)], None) if n % 2 else (None, 10 * n)
            db.execute("INSERT INTO costs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*cost, usd, ms))
            data = None if n % 2 else json.dumps({"said": text})
            db.execute("INSERT INTO notes VALUES (NULL, ?, ?, 'thought', ?, ?)", (n, None if n % 3 else 0, text, data))
        for n, number in enumerate(NUMBERS):
            db.execute("INSERT INTO metrics VALUES (?, 'odd', ?)", (n, number))
        db.execute("INSERT INTO metrics VALUES (99, 'odd', NULL)")


def named(values: Any) -> Rows:
    return [tuple(row) for row in values]


def of_recording(run: Path) -> dict[str, Rows]:
    """The rows of all tables, from the recording alone."""
    with recording(run) as db:
        seats = dict(db.execute("SELECT seat, name FROM seats"))
        seats[None] = None
        meta = json.loads(db.execute("SELECT value FROM meta WHERE key = 'run'").fetchone()[0])
        end = json.loads(db.execute("SELECT value FROM meta WHERE key = 'end'").fetchone()[0])
        inputs = [json.loads(body) for (body,) in db.execute("SELECT body FROM inputs ORDER BY tick")]
        entered: dict[int, int] = {}
        for one in inputs:
            for seat in one["seats"]:
                if seat["body"]["t"] == "file":
                    entered.setdefault(seat["body"]["v"]["number"], one["tick"])
        (scenario,) = db.execute("SELECT body FROM bundle WHERE path = 'scenario.toml'").fetchone()
        units = {one["name"]: one.get("unit") for one in tomllib.loads(scenario.decode())["metric"]}
        keys = ("run", "scenario", "scenario_digest", "seed")
        more = ("mode", "hz", "ticks", "cast", "isolation", "durability", "semantics", "host_version", "started_unix")
        tables: dict[str, Rows] = {
            "runs": [
                (*(meta[key] for key in keys), dict(meta["set"]), *(meta[key] for key in more), len(inputs), end["reason"],
                 end["hash"])
            ],
            "seats": [
                (seat["seat"], n, seat["group"], seat["agent"], end["scores"][n], end["status"][n])
                for n, seat in enumerate(meta["seats"])
            ],
            "ticks": named(db.execute("SELECT tick, hash, step_us, at_us FROM ticks ORDER BY tick")),
            "events": [
                (tick, n, name, seats[seat], seats[other], *rest)
                for tick, n, name, seat, other, *rest in db.execute(
                    "SELECT tick, n, name, seat, other, x, y, text, data FROM events ORDER BY tick, n"
                )
            ],
            # The recording's own view; the row's `n` is left out.
            "messages": named(db.execute("SELECT tick, seat, how, recipient, text FROM messages ORDER BY tick, seat, text")),
            "metrics": [
                (tick, name, units.get(name), value)
                for tick, name, value in db.execute("SELECT tick, name, value FROM metrics ORDER BY tick, name")
            ],
            "costs": [
                (n, tick, seats[seat], *rest)
                for n, tick, seat, *rest in db.execute(
                    "SELECT id, tick, seat, source, model, outcome, status, input_tokens, output_tokens, cache_read_tokens, "
                    "cache_write_tokens, usd, ms FROM costs ORDER BY id"
                )
            ],
            "notes": [
                (n, tick, seats[seat], *rest)
                for n, tick, seat, *rest in db.execute("SELECT id, tick, seat, kind, text, data FROM notes ORDER BY id")
            ],
            "actions": [],
            "files": [],
            "leases": [],
        }
        for one in inputs:
            for of in one["seats"]:
                kind, value = of["body"]["t"], of["body"].get("v")
                head = (one["tick"], seats[of["seat"]], of["seq"])
                if kind == "act":
                    tables["actions"] += [(*head, n, kind, call["action"], call["args"]) for n, call in enumerate(value)]
                elif kind != "file":
                    tables["actions"].append((*head, 0, kind, None, None))
        changes = {"absent": "deleted"}
        for sequence, tick, kind, path, seat, token, text in db.execute("SELECT * FROM file_facts ORDER BY sequence"):
            fact = json.loads(text)
            tick_of_input = 0 if seat is None else entered.get(sequence)
            if kind == "lease":
                change = fact["change"].get("how") or fact["change"]["what"]
                lease = (token, fact["scope"]["scope"], fact["scope"].get("path"), seat, change, fact["change"].get("ttl_ms"))
                tables["leases"].append((sequence, tick, tick_of_input, *lease))
                continue
            state = fact.get("state") or fact.get("wanted") or {}
            what = (state.get("kind"), state.get("bytes"), state.get("hash"), state.get("executable"))
            if kind == "version":
                change = changes.get(state["kind"], "created" if fact["parent"] is None else "changed")
                merged = fact["merged"]
                rest = (change, fact["number"], *what, fact["parent"], fact["from"], merged is not None, merged, token)
                rest = (*rest, None, None, None, None, None)
            else:
                rest = ("refused", None, *what, None, None, False, None, None, fact["reason"], fact["why"], fact["base"])
                rest = (*rest, fact["current"], fact.get("holder"))
            tables["files"].append((sequence, tick, tick_of_input, path, seat, *rest))
        return tables


def same(one: Any, other: Any) -> bool:
    """Equal, in type and bit by bit."""
    if isinstance(one, float) and isinstance(other, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    return type(one) is type(other) and one == other


class Tables(unittest.TestCase):
    folder: tempfile.TemporaryDirectory[str]
    runs: dict[str, Path]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory(prefix="formicarium-export-")
        at = Path(cls.folder.name)
        cls.runs = {
            "mixed": play(at / "mixed", "commons", "--cast", "mixed", "--seed", "1", "--ticks", "120"),
            "workshop": play(at / "workshop", "workshop", "--cast", "leased", "--seed", "2"),
        }
        add_what_no_quick_run_has(cls.runs["mixed"])

    @classmethod
    def tearDownClass(cls) -> None:
        cls.folder.cleanup()

    def export(self, run: Path) -> dict[str, dict[str, Any]]:
        """Exports in all formats into folders of their own: name -> what the host says of each table."""
        said = {}
        for form in ("parquet", "csv", "jsonl"):
            folder = run.with_name(f"{run.name}-{form}")
            answer = json.loads(host("export", run, "--to", form, "--out", folder, "--force", "--json"))
            self.assertIsNone(answer["lacks"])
            self.assertEqual([one["table"] for one in answer["tables"]], TABLES)
            for one in answer["tables"]:
                self.assertEqual((folder / one["file"]).stat().st_size, one["bytes"])
            self.assertEqual(len(list(folder.iterdir())), len(TABLES))
            said[form] = {one["table"]: one for one in answer["tables"]}
        return said

    def read(self, run: Path, table: str) -> pl.DataFrame:
        return pl.read_parquet(run.with_name(f"{run.name}-parquet") / f"{table}.parquet")

    def assert_rows(self, found: Rows, wanted: Rows, where: str) -> None:
        self.assertEqual(len(found), len(wanted), where)
        for number, (one, other) in enumerate(zip(found, wanted), start=1):
            is_same = len(one) == len(other) and all(map(same, one, other))
            self.assertTrue(is_same, f"{where}, row {number}:\n{one}\n{other}")

    def test_the_three_formats_hold_the_same_rows(self) -> None:
        for name, run in self.runs.items():
            said = self.export(run)
            for table in TABLES:
                frame = self.read(run, table)
                rows, columns = frame.rows(), frame.columns
                for form in said:
                    self.assertEqual(said[form][table]["rows"], len(rows), (name, table, form))

                file = run.with_name(f"{run.name}-csv") / f"{table}.csv"
                self.assertTrue(file.read_bytes().endswith(b"\r\n"))
                again = pl.read_csv(file, schema=frame.schema)
                self.assertEqual(again.columns, columns)
                self.assert_rows(again.rows(), rows, f"{name}, {table}.csv by polars")
                with file.open(newline="", encoding="utf-8") as lines:
                    head, *plain = csv.reader(lines, strict=True)
                self.assertEqual(head, columns)
                # Python's csv does not tell null from empty text.
                for one, other in zip(plain, rows, strict=True):
                    words = ["" if cell is None else cell for cell in other]
                    words = [str(cell).lower() if isinstance(cell, bool) else cell for cell in words]
                    numbers = [float(text) if isinstance(cell, float) else text for text, cell in zip(one, words)]
                    self.assertEqual(numbers, [cell if isinstance(cell, (float, str)) else str(cell) for cell in words])

                file = run.with_name(f"{run.name}-jsonl") / f"{table}.jsonl"
                with file.open(newline="\n", encoding="utf-8") as lines:
                    objects = [json.loads(line) for line in lines]
                self.assertTrue(all(list(one) == columns for one in objects), table)
                self.assert_rows([tuple(one.values()) for one in objects], rows, f"{name}, {table}.jsonl")

    def test_the_rows_are_those_of_the_recording(self) -> None:
        for name, run in self.runs.items():
            self.export(run)
            wanted = of_recording(run)
            for table in TABLES:
                frame = self.read(run, table)
                rows = frame.rows()
                if table == "runs":
                    at = frame.columns.index("params")
                    rows = [(*row[:at], json.loads(row[at]), *row[at + 1 :]) for row in rows]
                if table == "messages":
                    rows = frame.drop("n").sort("tick", "seat", "text").rows()
                if table == "actions":
                    self.check_arguments(rows, wanted[table])
                    rows = [row[:6] for row in rows]
                    self.assert_rows(rows, [row[:6] for row in wanted[table]], f"{name}, {table}")
                    continue
                self.assert_rows(rows, wanted[table], f"{name}, {table}")
        full = {table for run in self.runs.values() for table in TABLES if self.read(run, table).height > 0}
        self.assertEqual(full, set(TABLES), "a table that is empty everywhere proves nothing")

    def check_arguments(self, rows: Rows, wanted: Rows) -> None:
        """Each recorded argument stands under one name, and a number in place of a word always for the same word."""
        words: dict[tuple[int, int, Any], str] = {}
        names: dict[int, str] = {}
        for row, recorded in zip(rows, wanted, strict=True):
            call, args = row[5], recorded[6]
            if call is None:
                self.assertEqual((row[6], row[7]), (None, None))
                continue
            self.assertEqual(names.setdefault(call, row[6]), row[6])
            given = [(place, arg) for place, arg in enumerate(args) if arg != "none"]
            found = json.loads(row[7])
            self.assertEqual(len(found), len(given), row)
            for place, arg in given:
                ((kind, value),) = arg.items()
                if kind not in ("choice", "seat"):
                    self.assertIn(value, found.values(), row)
                elif len(given) == 1:
                    (word,) = found.values()
                    self.assertIsInstance(word, str)
                    self.assertEqual(words.setdefault((call, place, value), word), word)
        self.assertEqual(len(set(names.values())), len(names), "two actions never share a name")
        spoken = {(call, place, word) for (call, place, _), word in words.items()}
        self.assertEqual(len(spoken), len(words), "two numbers never share a word")

    def test_null_and_empty_text_differ_in_csv(self) -> None:
        run = self.runs["mixed"]
        self.export(run)
        text = (run.with_name("mixed-csv") / "costs.csv").read_text(encoding="utf-8")
        self.assertIn(',call,"",complete,', text)
        costs = self.read(run, "costs")
        self.assertEqual(costs["model"].to_list(), TEXTS)

    def test_types_and_descriptions_are_in_the_parquet_files(self) -> None:
        run = self.runs["mixed"]
        self.export(run)
        kinds = {"int64": pl.Int64, "uint64": pl.UInt64, "float64": pl.Float64, "bool": pl.Boolean}
        document = (ROOT / "docs/export.md").read_text(encoding="utf-8")
        for table in TABLES:
            file = run.with_name("mixed-parquet") / f"{table}.parquet"
            words = pl.read_parquet_metadata(file)
            self.assertIn(f"A row: {words['formicarium.table']}.", document)
            columns = json.loads(words["formicarium.columns"])
            wanted = {one["name"]: kinds.get(one["type"], pl.String) for one in columns}
            self.assertEqual(dict(pl.read_parquet_schema(file)), wanted)
            for one in columns:
                self.assertIn(f"| `{one['name']}` | {one['type']} | {one['unit']} |", document)


class Plots(unittest.TestCase):
    def test_the_two_pictures_are_drawn_from_the_tables(self) -> None:
        with tempfile.TemporaryDirectory(prefix="formicarium-plots-") as name:
            at = Path(name)
            arguments = []
            for cast in ("greedy", "restrained"):
                for seed in ("1", "2"):
                    run = play(at / f"{cast}-{seed}", "commons", "--cast", cast, "--seed", seed, "--ticks", "200")
                    host("export", run, "--to", "parquet")
                    arguments.append(f"{cast}={run}-export")
            script = [sys.executable, str(ROOT / "docs/export/plots.py")]
            pictures = []
            for out in (at / "one", at / "two"):
                subprocess.run([*script, str(out), *arguments], check=True, stdout=subprocess.DEVNULL)
                pictures.append({file.name: file.read_bytes() for file in out.iterdir()})
            self.assertEqual(pictures[0], pictures[1], "the same tables give the same bytes")
            self.assertEqual(set(pictures[0]), {"apples.svg", "scores.svg"})
            for text in pictures[0].values():
                self.assertEqual(xml.fromstring(text).tag, "{http://www.w3.org/2000/svg}svg")
                self.assertIn(b"greedy", text)
                self.assertIn(b"restrained", text)
            # 16 seats a cast, each a point; the two groups are the only marks that are used so often.
            self.assertGreaterEqual(pictures[0]["scores.svg"].count(b"<use "), 32)

            # What is drawn: greedy ones leave nothing, restrained ones leave apples and get more of them.
            def at_end(cast: str) -> tuple[float, float]:
                folder = at / f"{cast}-1-export"
                metrics = pl.read_parquet(folder / "metrics.parquet").filter(pl.col("name") == "apples").sort("tick")
                return metrics["value"][-1], pl.read_parquet(folder / "seats.parquet")["score"].sum()

            (greedy_left, greedy_points), (left, points) = at_end("greedy"), at_end("restrained")
            self.assertEqual(greedy_left, 0)
            self.assertGreater(left, 0)
            self.assertGreater(points, greedy_points)

            missing = subprocess.run([*script, str(at / "x"), f"a={at / 'none'}"], capture_output=True, text=True)
            self.assertNotEqual(missing.returncode, 0)
            self.assertIn("formicarium export RUN --to parquet", missing.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
