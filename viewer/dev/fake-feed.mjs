// A scripted feed for development and for the page's fault cases: speaks formicarium.observe.v1 and serves dist/. It is no
// world: bodies walk, apples come and go, somebody talks. Fault cases are asked for by GET /do/<what>.
//   node dev/fake-feed.mjs [--port 7979] [--game commons|axelrod] [--hz 8] [--seats 8] [--token dev] [--starting 0]
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
import { WebSocketServer } from "ws";

const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
};
const TOKEN = option("token", "dev");
const HZ = Number(option("hz", "8"));
const GAME = option("game", "commons");
const SEATS = Number(option("seats", "8"));
const STARTING_TICKS = Number(option("starting", "0"));
const DIST = fileURLToPath(new URL("../dist/", import.meta.url));

let seedState = 12345;
const chance = () => {
  seedState = (Math.imul(seedState, 1664525) + 1013904223) >>> 0;
  return seedState / 2 ** 32;
};
const pick = (list) => list[Math.floor(chance() * list.length)];

const MAP = [
  "..............................", "....A.............A......A....", "...AAA...........AAA....AAA...",
  "..AAAAA...##....AAAAA..AAAAA..", "...AAA....##.....AAA....AAA...", "....A.............A......A....",
  "..............................", "...........A..................", "..........AAA........~~.......",
  ".........AAAAA......~~~~......", "..........AAA.......~~~.......", "...........A..................",
  "....A..................A......", "...AAA................AAA.....", "..AAAAA....A....##...AAAAA....",
  "...AAA....AAA...##....AAA.....", "....A....AAAAA.........A......", "..........AAA.................",
  "...........A..................", "..............................",
];
const WIDTH = MAP[0].length;
const HEIGHT = MAP.length;
const KINDS = [
  { name: "harvester", glyph: "@", colour: "#888888", solid: true, opaque: false },
  { name: "apple", glyph: "A", colour: "#c8452d", solid: false, opaque: false },
  { name: "wall", glyph: "#", colour: "#777777", solid: true, opaque: true },
  { name: "water", glyph: "~", colour: "#6aa6b8", solid: true, opaque: false },
];
const STRATEGIES = ["tit-for-tat", "cooperator", "defector", "grudger", "win-stay-lose-shift", "tit-for-two-tats", "alternator"];
const names = GAME === "axelrod" ? STRATEGIES : Array.from({ length: SEATS }, (_, index) => `harvester-${index + 1}`);

const fixed = () => ({
  scenario: GAME === "axelrod"
    ? { name: "axelrod", title: "The prisoner's tournament", summary: "Seven strategies meet in pairs, two hundred rounds each. Who does well when nobody can leave?" }
    : { name: "commons", title: "The orchard commons", summary: "Apples grow back only where apples are near. Each harvester may take the last one; together they must not." },
  run: "dev-run", seed: 7, params: { harvesters: SEATS }, mode: "realtime", hz: HZ,
  cast: GAME === "axelrod" ? "tournament" : "restrained", casts: GAME === "axelrod" ? ["tournament"] : ["greedy", "mixed", "restrained", "shell"], command: `target/release/formicarium run ${GAME === "axelrod" ? "axelrod" : "commons"} --mode realtime --hz 8 --ticks 0`, isolation: "advisory",
  space: GAME === "axelrod" ? null : { width: WIDTH, height: HEIGHT, torus: false },
  kinds: KINDS,
  terrain: GAME === "axelrod" ? [] : MAP.flatMap((row) => [...row].map((glyph) => (glyph === "#" ? 3 : glyph === "~" ? 4 : 0))),
  seats: names.map((name) => ({ name, group: GAME === "axelrod" ? name : "harvester", agent: GAME === "axelrod" ? `formicarium-player axelrod ${name}` : "formicarium-player commons restrained" })),
  metrics: GAME === "axelrod" ? [{ name: "cooperation", title: "Cooperation", unit: "share" }, { name: "points", title: "Points", unit: "" }]
    : [{ name: "apples", title: "Apples", unit: "" }, { name: "harvest", title: "Harvest", unit: "apples" }, { name: "gini", title: "Inequality", unit: "Gini" }],
  score: { unit: GAME === "axelrod" ? "points" : "apples", best: "highest" },
  actions: [{ name: "move", description: "Go one cell." }],
});

const things = new Map();
let nextId = 1;
const scores = names.map(() => 0);
const status = names.map(() => ({ status: STARTING_TICKS > 0 ? "starting" : "playing", reason: null }));
const history = { ticks: [], values: [] };
let recent = [];
let metrics = [];
let tick = 0;
let seq = 0;
let phase = STARTING_TICKS > 0 ? "starting" : "running";
let epoch = `epoch-${process.pid}`;
const free = (x, y) => x >= 0 && y >= 0 && x < WIDTH && y < HEIGHT && MAP[y][x] !== "#" && MAP[y][x] !== "~";
if (GAME !== "axelrod") {
  MAP.forEach((row, y) => [...row].forEach((glyph, x) => { if (glyph === "A") things.set(nextId, { id: nextId++, kind: 1, x, y, seat: -1, face: -1, flags: 0 }); }));
  names.forEach((_, seat) => {
    let x, y;
    do { x = Math.floor(chance() * WIDTH); y = Math.floor(chance() * HEIGHT); } while (!free(x, y) || [...things.values()].some((thing) => thing.x === x && thing.y === y));
    things.set(nextId, { id: nextId++, kind: 0, x, y, seat, face: seat % 4, flags: 0 });
  });
}
const columns = (list) => Object.fromEntries(["id", "kind", "x", "y", "seat", "face", "flags"].map((key) => [key, list.map((thing) => thing[key])]));
const WORDS = ["The patch at 5, 3 needs rest.", "I leave three apples here so that they grow back.", "Who ate the last one by the water? Not me.", "Going east, plenty there.", "Let us wait a little.", "harvester-3, please stop."];
const THOUGHTS = ["Only two apples remain near: I leave them.", "Four neighbours, so this one may go.", "Nothing ripe in sight; I walk north.", "Somebody is at my patch. I try the next one."];
const DX = [0, 1, 0, -1];
const DY = [-1, 0, 1, 0];

function step() {
  const events = [];
  const upd = [];
  const del = [];
  const changed = { seat: [], score: [] };
  const say = (name, seat, text, more = {}) => events.push({ tick, name, seat, other: null, at: null, text, data: {}, ...more });
  if (GAME === "axelrod") {
    const n = names.length + 1;
    const order = [0, ...Array.from({ length: n - 1 }, (_, index) => 1 + ((index + tick) % (n - 1)))];
    for (let pair = 0; pair < n / 2; pair++) {
      const a = order[pair];
      const b = order[n - 1 - pair];
      if (a >= names.length || b >= names.length) continue;
      const plays = (seat) => (seat === 2 ? "defect" : seat === 6 ? (tick % 2 ? "defect" : "cooperate") : seat === 1 || chance() < 0.8 ? "cooperate" : "defect");
      const mine = plays(a);
      const theirs = plays(b);
      const pay = (x, y) => (x === "cooperate" ? (y === "cooperate" ? 3 : 0) : y === "cooperate" ? 5 : 1);
      scores[a] += pay(mine, theirs);
      scores[b] += pay(theirs, mine);
      events.push({ tick, name: "matrix.played", seat: a, other: b, at: null, text: null, data: { mine, theirs, payoff: pay(mine, theirs), other_payoff: pay(theirs, mine) } });
      changed.seat.push(a, b);
      changed.score.push(scores[a], scores[b]);
    }
    if (chance() < 0.2) say("agent.thought", Math.floor(chance() * names.length), "They defected last time, so I do now.");
    metrics = [0.5 + 0.3 * Math.sin(tick / 40), scores.reduce((sum, score) => sum + score, 0)];
  } else {
    const at = new Map([...things.values()].map((thing) => [`${thing.seat >= 0 ? "b" : "a"}${thing.x},${thing.y}`, thing]));
    for (const body of [...things.values()].filter((thing) => thing.seat >= 0)) {
      if (status[body.seat].status !== "playing" || body.flags & 1) {
        if (body.flags & 1 && chance() < 0.1) { const back = { ...body, flags: 0 }; things.set(body.id, back); upd.push(back); }
        continue;
      }
      const face = chance() < 0.3 ? Math.floor(chance() * 4) : body.face;
      const x = body.x + DX[face];
      const y = body.y + DY[face];
      const moved = { ...body, face };
      if (free(x, y) && !at.has(`b${x},${y}`)) { moved.x = x; moved.y = y; at.set(`b${x},${y}`, moved); at.delete(`b${body.x},${body.y}`); }
      else { moved.face = (face + 1) % 4; if (chance() < 0.15) events.push({ tick, name: "action.rejected", seat: body.seat, other: null, at: null, text: "a wall stands to the " + ["north", "east", "south", "west"][face], data: { action: "move", code: "blocked" } }); }
      things.set(body.id, moved);
      upd.push(moved);
      const apple = at.get(`a${moved.x},${moved.y}`);
      if (apple && things.has(apple.id)) {
        things.delete(apple.id);
        del.push(apple.id);
        scores[body.seat] += 1;
        changed.seat.push(body.seat);
        changed.score.push(scores[body.seat]);
        say("harvest.ate", body.seat, null, { at: [moved.x, moved.y] });
      }
      if (chance() < 0.03) say("agent.thought", body.seat, pick(THOUGHTS));
      if (chance() < 0.012) say("speech.said", body.seat, pick(WORDS), { data: { how: pick(["say", "say", "broadcast"]) } });
    }
    const apples = [...things.values()].filter((thing) => thing.seat < 0);
    MAP.forEach((row, y) => [...row].forEach((glyph, x) => {
      if (glyph !== "A" || apples.some((apple) => apple.x === x && apple.y === y)) return;
      const near = apples.filter((apple) => (apple.x - x) ** 2 + (apple.y - y) ** 2 <= 4).length;
      if (chance() < [0.001, 0.01, 0.02, 0.04][Math.min(3, near)]) { const apple = { id: nextId++, kind: 1, x, y, seat: -1, face: -1, flags: 0 }; things.set(apple.id, apple); upd.push(apple); say("harvest.grew", null, null, { at: [x, y] }); }
    }));
    if (tick % 37 === 20) {
      const seats = [...things.values()].filter((thing) => thing.seat >= 0);
      const [one, two] = [seats[tick % seats.length], seats[(tick * 3 + 1) % seats.length]];
      if (one !== two) { const hit = { ...two, flags: two.flags | 1 }; things.set(two.id, hit); upd.push(hit); say("sanction.hit", one.seat, null, { other: two.seat, at: [two.x, two.y] }); }
    }
    const sum = scores.reduce((total, score) => total + score, 0) || 1;
    const sorted = [...scores].sort((a, b) => a - b);
    metrics = [apples.length - del.length, sum, sorted.reduce((total, score, rank) => total + (2 * (rank + 1) - scores.length - 1) * score, 0) / (scores.length * sum)];
  }
  history.ticks.push(tick);
  history.values.push(metrics);
  if (history.ticks.length > 500) { history.ticks.shift(); history.values.shift(); }
  recent = [...recent, ...events].slice(-100);
  return { upd: columns(upd), del, scores: changed, metrics, events };
}

function frame(kind, number, body, deflate) {
  const header = Buffer.alloc(22);
  header.writeUInt8(kind, 0);
  header.writeUInt8(deflate ? 1 : 0, 1);
  header.writeBigUInt64LE(BigInt(number), 6);
  header.writeBigUInt64LE(BigInt(tick), 14);
  const json = Buffer.from(JSON.stringify(body));
  return Buffer.concat([header, deflate ? deflateRawSync(json, { level: 1 }) : json]);
}
const snapshot = () => ({ things: columns([...things.values()]), scores, status, metrics, history, recent });

const clients = new Set();
let silent = false;
const tell = (socket, message) => socket.send(JSON.stringify(message));
const statusOf = (seats) => ({ type: "status", phase, head_tick: tick, head_seq: seq, tps: phase === "running" ? HZ : 0, seats });
const all = (message) => { for (const client of clients) tell(client.socket, message); };
const setStatus = (seat, name, reason) => {
  status[seat] = { status: name, reason };
  all(statusOf([{ seat, status: name, reason }]));
};

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css" };
const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://local").pathname;
  if (path.startsWith("/do/")) {
    doIt(path.slice(4));
    response.end("done\n");
    return;
  }
  try {
    const file = normalize(join(DIST, path === "/" ? "index.html" : path));
    if (!file.startsWith(DIST)) throw new Error("outside");
    const bytes = await readFile(file);
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
    response.end(bytes);
  } catch {
    response.statusCode = 404;
    response.end("not here\n");
  }
});

/** The fault cases. */
function doIt(what) {
  switch (what) {
    case "gap":
      for (const client of clients) client.skip = 12;
      return;
    case "garbage": for (const { socket } of clients) socket.send(Buffer.from([3, 0, 1])); return;
    case "bad-json": for (const { socket } of clients) socket.send(frame(3, seq + 1, "x").subarray(0, 23)); return;
    case "drop": for (const { socket } of clients) socket.terminate(); return;
    case "away": for (const { socket } of clients) socket.close(1001, "host going away"); return;
    case "silent": silent = true; return;
    case "speak": silent = false; return;
    case "new-epoch": epoch = `epoch-${Math.random()}`; for (const { socket } of clients) socket.terminate(); return;
    case "trouble":
      setStatus(1, "late", "harvester-2 did not answer in 250 ms (its own fault); the world went on");
      setStatus(4, "absent", "harvester-5 was late 3 ticks in a row; nobody waits for it until it speaks");
      setStatus(6, "exited", "harvester-7: its process ended with status 1; see agents/harvester-7/stderr");
      for (const [seat, bit] of [[4, 2], [6, 4]]) for (const thing of things.values()) if (thing.seat === seat) things.set(thing.id, { ...thing, flags: thing.flags | bit });
      return;
    case "end":
      phase = "ended";
      all({ type: "end", tick, reason: "the last tick was reached", scores });
      all(statusOf([]));
      return;
  }
}

const door = new WebSocketServer({ server, path: "/feed", handleProtocols: (offered) => (offered.has("formicarium.observe.v1") ? "formicarium.observe.v1" : false) });
door.on("connection", (socket) => {
  const late = setTimeout(() => socket.close(4408, "no hello"), 5_000);
  socket.on("error", () => undefined);
  socket.on("message", (data) => {
    const message = JSON.parse(String(data));
    if (message.type === "ping") return tell(socket, { type: "pong", id: message.id, head_tick: tick, head_seq: seq });
    clearTimeout(late);
    if (message.token !== TOKEN) {
      tell(socket, { type: "error", code: 4401, message: "the token is not this run's", retry: false });
      return socket.close(4401, "bad token");
    }
    const deflate = message.compress === "deflate";
    const resumed = message.resume?.epoch === epoch && message.resume.seq === seq;
    tell(socket, { type: "welcome", proto: "formicarium.observe.v1", run: "dev-run", epoch, tick, first_tick: 0, head_tick: tick, mode: "realtime", hz: HZ, ticks: 0, phase, caps: ["deflate"], limits: {}, resumed });
    if (!resumed) {
      socket.send(frame(1, 0, fixed(), deflate));
      socket.send(frame(2, seq, snapshot(), deflate));
    }
    tell(socket, statusOf(status.map((state, seat) => ({ seat, ...state }))));
    if (phase === "ended") tell(socket, { type: "end", tick, reason: "the last tick was reached", scores });
    const client = { socket, deflate, skip: 0, skippedFrom: 0 };
    clients.add(client);
    socket.on("close", () => clients.delete(client));
  });
});

let waited = 0;
setInterval(() => {
  if (phase === "starting") {
    waited += 1;
    const seat = Math.floor((waited / STARTING_TICKS) * names.length) - 1;
    if (seat >= 0 && seat < names.length && status[seat].status === "starting") setStatus(seat, "ready", null);
    if (waited > STARTING_TICKS) {
      phase = "running";
      names.forEach((_, index) => setStatus(index, "playing", null));
    }
    return;
  }
  if (phase === "ended") return;
  tick += 1;
  seq += 1;
  const body = step();
  const frames = new Map();
  for (const client of clients) {
    if (silent) continue;
    if (client.skip > 0) {
      client.skippedFrom ||= seq;
      client.skip -= 1;
      if (client.skip === 0) {
        tell(client.socket, { type: "gap", from: client.skippedFrom, to: seq, reason: "this page fell behind" });
        client.socket.send(frame(2, seq, snapshot(), client.deflate));
        client.skippedFrom = 0;
      }
      continue;
    }
    if (!frames.has(client.deflate)) frames.set(client.deflate, frame(3, seq, body, client.deflate));
    client.socket.send(frames.get(client.deflate));
  }
}, 1000 / HZ);
setInterval(() => { if (!silent) all(statusOf([])); }, 2_000);

server.listen(Number(option("port", "7979")), "127.0.0.1", () => console.log(`watch at http://127.0.0.1:${server.address().port}/#token=${TOKEN}`));
