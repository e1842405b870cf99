//! The tables: what each row and each column is. docs/export.md is made from this file (`make bless`).
//!
//! Description and queries only; must not know formats or files.

use super::table::Kind::{Bool, Int, Json, Real, Text, UInt};
use super::table::{Column, Source, Table, column};

/// All tables, in the order in which they are written.
pub const TABLES: [Table; 11] = [
    RUNS, SEATS, TICKS, ACTIONS, EVENTS, MESSAGES, METRICS, FILES, LEASES, COSTS, NOTES,
];

const TICK: Column = column("tick", Int, "ticks", "the tick");

const RUNS: Table = Table {
    name: "runs",
    doc: "the run; one row",
    source: Source::Run,
    columns: &[
        column("run", Text, "", "the run's id"),
        column("scenario", Text, "", "the scenario's name"),
        column(
            "scenario_digest",
            Text,
            "",
            "BLAKE3 of the scenario's files, hexadecimal",
        ),
        column("seed", UInt, "", "seed of the world"),
        column(
            "params",
            Json,
            "",
            "object: the parameters that were set (`--set`), as text; of two for one name the later",
        ),
        column("mode", Text, "", "`lockstep` or `realtime`"),
        column(
            "hz",
            Real,
            "ticks/s",
            "how fast `realtime` goes; means nothing in `lockstep`",
        ),
        column(
            "last_tick",
            Int,
            "ticks",
            "at which tick the run was to end; 0 = no end",
        ),
        column("cast", Text, "", "the cast's name"),
        column(
            "isolation",
            Text,
            "",
            "how the seats were kept apart: `uid`, `landlock`, `advisory`",
        ),
        column("durability", Text, "", "`process` or `power`"),
        column(
            "semantics",
            Int,
            "",
            "semantics version of the world's rules",
        ),
        column(
            "host_version",
            Text,
            "",
            "version of the host that recorded",
        ),
        column(
            "started_unix_s",
            Int,
            "s",
            "when the run began: seconds since 1970, UTC",
        ),
        column(
            "ticks",
            Int,
            "ticks",
            "steps done so far: inputs in the recording",
        ),
        column(
            "end_reason",
            Text,
            "",
            "why it ended; null while it goes on, or if the host was killed",
        )
        .or_null(),
        column(
            "end_hash",
            Text,
            "",
            "hash of the world at the end, 32 hexadecimal digits; null as `end_reason`",
        )
        .or_null(),
    ],
};

const SEATS: Table = Table {
    name: "seats",
    doc: "a seat",
    source: Source::Query(
        "SELECT s.name, s.seat, s.team, s.agent, c.score, c.status FROM seats s LEFT JOIN scores c USING (seat) ORDER BY s.seat",
    ),
    columns: &[
        column("seat", Text, "", "its name"),
        column("n", Int, "", "its place in the scenario's order, from 0"),
        column("team", Text, "", "its group in the scenario"),
        column(
            "agent",
            Text,
            "",
            "what the cast put there: a command line or `builtin:...`",
        ),
        column(
            "score",
            Real,
            "the scenario's",
            "score at the end; null if there is no end",
        )
        .or_null(),
        column(
            "status",
            Text,
            "",
            "status at the end; null if there is no end",
        )
        .or_null(),
    ],
};

const TICKS: Table = Table {
    name: "ticks",
    doc: "a tick whose hash is recorded, from 0 (the state before the first step)",
    source: Source::Query("SELECT tick, hash, step_us, at_us FROM ticks ORDER BY tick"),
    columns: &[
        TICK,
        column(
            "hash",
            Text,
            "",
            "XXH3-128 of all state after the step, 32 hexadecimal digits",
        ),
        column("step_us", Int, "us", "how long the step took; 0 at tick 0"),
        column(
            "at_us",
            Int,
            "us",
            "when it was done, counted from the first observation",
        ),
    ],
};

const ACTIONS: Table = Table {
    name: "actions",
    doc: "an action that entered the world, or what the host told it about a seat instead. What was refused at the door \
          entered nothing: it is in `notes`, kind `rejected`",
    source: Source::Actions,
    columns: &[
        column("tick", Int, "ticks", "the tick whose step it entered"),
        column("seat", Text, "", "whose it is"),
        column("seq", Int, "", "its place among the inputs of the seat in the tick"),
        column("n", Int, "", "its place in the seat's message, from 0"),
        column(
            "kind",
            Text,
            "",
            "`act`; `late`, `absent`, `back`, `exited`; `thought` (what the answer took, in `args`: `ms`, `tokens`); `fault`, `fault_over` (of the scenario; `reason` is its kind); `told` (by whoever runs the host) and `seated` (another agent has the seat), with the words in `reason`; `pass` (an empty list of actions; the host records none: \
             a seat that only waits has no row)",
        ),
        column("action_id", Int, "", "the action's number in the catalogue; only of `act`").or_null(),
        column(
            "action",
            Text,
            "",
            "the action's name; only of `act`, and null if the recording is of another semantics version",
        )
        .or_null(),
        column(
            "args",
            Json,
            "",
            "object: the arguments that were given, by name, choices and seats as words; where `action` is null the array \
             that is recorded",
        )
        .or_null(),
        column(
            "outcome",
            Text,
            "",
            "`ok`, or the code of the refusal (docs/scenario-format.md); null if the recording does not tell: the last tick \
             after a kill, several actions of which some were refused, a recording before `by` stood in its notes",
        )
        .or_null(),
        column("reason", Text, "", "why it was refused, or why the seat has `exited`").or_null(),
    ],
};

const EVENTS: Table = Table {
    name: "events",
    doc: "a thing that happened in the world (docs/scenario-format.md, Events)",
    source: Source::Query(
        "SELECT tick, n, name, ifnull((SELECT s.name FROM seats s WHERE s.seat = e.seat), e.seat), \
         ifnull((SELECT s.name FROM seats s WHERE s.seat = e.other), e.other), x, y, text, data \
         FROM events e ORDER BY tick, n",
    ),
    columns: &[
        TICK,
        column("n", Int, "", "its place in the tick, from 0"),
        column(
            "name",
            Text,
            "",
            "`mechanic.what`: `harvest.ate`, `speech.said`",
        ),
        column("seat", Text, "", "who did it, or to whom it happened").or_null(),
        column("other", Text, "", "the other seat that it concerns").or_null(),
        column("x", Int, "cells", "where: from the west edge, from 0").or_null(),
        column("y", Int, "cells", "where: from the north edge, from 0").or_null(),
        column("text", Text, "", "what was said, or the path of a file").or_null(),
        column("data", Json, "", "object: the event's other fields").or_null(),
    ],
};

const MESSAGES: Table = Table {
    name: "messages",
    doc: "what a seat said; also an event, with the same `tick` and `n`",
    source: Source::Query(
        "SELECT tick, n, ifnull((SELECT s.name FROM seats s WHERE s.seat = e.seat), e.seat), json_extract(data, '$.how'), \
         ifnull((SELECT s.name FROM seats s WHERE s.seat = e.other), e.other), text \
         FROM events e WHERE name = 'speech.said' ORDER BY tick, n",
    ),
    columns: &[
        TICK,
        column("n", Int, "", "the event's place in the tick"),
        column("seat", Text, "", "who spoke"),
        column(
            "how",
            Text,
            "",
            "`say` (to all near), `whisper` (to one), `broadcast` (to all)",
        ),
        column("recipient", Text, "", "to whom, of `whisper`").or_null(),
        column("text", Text, "", "the words"),
    ],
};

const METRICS: Table = Table {
    name: "metrics",
    doc: "a metric at a tick",
    source: Source::Metrics,
    columns: &[
        TICK,
        column("name", Text, "", "the metric"),
        column(
            "unit",
            Text,
            "",
            "its unit in the scenario, null if it has none",
        )
        .or_null(),
        column("value", Real, "see `unit`", "its value after the step").or_null(),
    ],
};

const FILES: Table = Table {
    name: "files",
    doc: "a version of a path of the shared tree, or a path that was not published. `formicarium files RUN show --hash HASH` \
          prints a content",
    source: Source::Files,
    columns: &[
        column(
            "sequence",
            Int,
            "",
            "its number among the facts of the shared tree; `leases` has the others",
        ),
        column("tick", Int, "ticks", "the tick that was shown when it came"),
        column(
            "input_tick",
            Int,
            "ticks",
            "the tick whose input holds it; 0 for the tree that the run began with, null if \
                                            none does",
        )
        .or_null(),
        column("path", Text, "", "the path"),
        column(
            "seat",
            Text,
            "",
            "whose publish it was; null for the scenario's own files",
        )
        .or_null(),
        column(
            "change",
            Text,
            "",
            "`created`, `changed`, `deleted`, `refused`",
        ),
        column(
            "version",
            Int,
            "",
            "its number at this path, from 1; null if refused",
        )
        .or_null(),
        column(
            "kind",
            Text,
            "",
            "what stands there, or was to stand there: `file`, `dir`, `absent`; null if unknown",
        )
        .or_null(),
        column("bytes", Int, "bytes", "length of the file's content").or_null(),
        column(
            "hash",
            Text,
            "",
            "BLAKE3 of the file's content, also of what was refused",
        )
        .or_null(),
        column("executable", Bool, "", "whether the file may be executed").or_null(),
        column(
            "parent",
            Int,
            "",
            "`sequence` of the version that it took the place of",
        )
        .or_null(),
        column(
            "renamed_from",
            Int,
            "",
            "`sequence` of the version of another path that was renamed to this",
        )
        .or_null(),
        column(
            "merged",
            Bool,
            "",
            "whether it was put together from the seat's changes and its parent",
        ),
        column(
            "merged_hash",
            Text,
            "",
            "if merged: BLAKE3 of the content as the seat had written it",
        )
        .or_null(),
        column(
            "token",
            Int,
            "",
            "fencing token of the lease that it was published under",
        )
        .or_null(),
        column(
            "reason",
            Text,
            "",
            "if refused: why, in a word (`leased`, `conflict`, ...)",
        )
        .or_null(),
        column("why", Text, "", "if refused: why, and what to do").or_null(),
        column(
            "base",
            Int,
            "",
            "if refused: `sequence` of the version that the seat had started from",
        )
        .or_null(),
        column(
            "current",
            Int,
            "",
            "if refused: `sequence` of the version that stood there",
        )
        .or_null(),
        column(
            "holder",
            Text,
            "",
            "if refused: who held the lease in the way",
        )
        .or_null(),
    ],
};

const LEASES: Table = Table {
    name: "leases",
    doc: "a change of a lease",
    source: Source::Leases,
    columns: &[
        column(
            "sequence",
            Int,
            "",
            "its number among the facts of the shared tree; `files` has the others",
        ),
        column("tick", Int, "ticks", "the tick that was shown when it came"),
        column(
            "input_tick",
            Int,
            "ticks",
            "the tick whose input holds it; null if none does, as of `renewed`",
        )
        .or_null(),
        column(
            "token",
            Int,
            "",
            "the lease's fencing token, the same from `granted` to its end",
        ),
        column(
            "scope",
            Text,
            "",
            "what it covers: `path`, `subtree` (the path and all in it), `tree` (all)",
        ),
        column("path", Text, "", "the path; null for the whole tree").or_null(),
        column("seat", Text, "", "who holds it"),
        column(
            "change",
            Text,
            "",
            "`granted`, `renewed`; its end: `expired`, `released`, `holder_gone`, `restart`",
        ),
        column("ttl_ms", Int, "ms", "for how long, if granted or renewed").or_null(),
    ],
};

const COSTS: Table = Table {
    name: "costs",
    doc: "a request at the model door, or a turn as the agent's program counts it. Never add the tokens of both: where a seat \
          has calls, they are the measured ones",
    source: Source::Query(
        "SELECT id, tick, ifnull((SELECT s.name FROM seats s WHERE s.seat = c.seat), c.seat), source, model, \
         outcome, status, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, usd, ms \
         FROM costs c ORDER BY id",
    ),
    columns: &[
        column(
            "n",
            Int,
            "",
            "its number, in the order in which they were known",
        ),
        column(
            "tick",
            Int,
            "ticks",
            "the tick that was shown when the call began",
        ),
        column("seat", Text, "", "whose it is"),
        column("source", Text, "", "`call` or `turn`"),
        column("model", Text, "", "the model's name"),
        column(
            "outcome",
            Text,
            "",
            "how it ended: `complete`, `client-left`, `upstream-failed`, `refused`, `stopped`",
        ),
        column("status", Int, "", "of a call: HTTP status").or_null(),
        column("input_tokens", Int, "tokens", "read, without cached ones"),
        column("output_tokens", Int, "tokens", "written"),
        column(
            "cache_read_tokens",
            Int,
            "tokens",
            "read from the provider's cache",
        ),
        column(
            "cache_write_tokens",
            Int,
            "tokens",
            "written to the provider's cache",
        ),
        column(
            "usd",
            Real,
            "US$",
            "of a turn, by the program's own price list",
        )
        .or_null(),
        column("took_ms", Int, "ms", "how long the call took").or_null(),
    ],
};

const NOTES: Table = Table {
    name: "notes",
    doc: "a thing around an agent that is no input: thoughts, faults, answers to questions",
    source: Source::Query(
        "SELECT id, tick, ifnull((SELECT s.name FROM seats s WHERE s.seat = n.seat), n.seat), kind, text, data \
         FROM notes n ORDER BY id",
    ),
    columns: &[
        column("n", Int, "", "its number, in the order in which they came"),
        column("tick", Int, "ticks", "the tick at which it came"),
        column("seat", Text, "", "whose it is; null for the run as a whole").or_null(),
        column(
            "kind",
            Text,
            "",
            "`thought`, `log`, `fault`, `status`, `rejected`, `budget`, `answer`, `resumed`, `seated`",
        ),
        column("text", Text, "", "the words"),
        column(
            "data",
            Json,
            "",
            "object: more; of `answer` `question`, `asked`, `status`, `value`",
        )
        .or_null(),
    ],
};
