//! A fake process: speaks the agent protocol as its seat's habits have it. Knows nothing of the host but its bytes.

use std::io;
use std::time::Duration;

use formicarium_agents::sim::{FakeProcess, Order};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::case::{Chance, Seat};
use crate::quiet::stir;

/// Bytes of a line that no line may have.
const HUGE: usize = (1 << 20) + 100;
/// How long a full pipe is waited for before it is tried again.
const FULL: Duration = Duration::from_millis(5);

/// How a process ends.
enum End {
    Exit(i32),
    Signal(i32),
    KeeperLost,
}

/// Plays a process to its end.
pub async fn play(process: FakeProcess, seat: Seat, window_ms: u64, mut chance: Chance) {
    stir();
    if chance.percent(seat.habits.no_program) {
        return process.fail();
    }
    process.spawned();
    let mut child = Child {
        process,
        seat,
        window_ms,
        chance,
        unread: Vec::new(),
    };
    // A pipe that breaks ends a process by SIGPIPE.
    let end = child.live().await.unwrap_or(End::Signal(13));
    stir();
    match end {
        End::Exit(code) => child.process.exit(code),
        End::Signal(signal) => child.process.killed(signal),
        End::KeeperLost => child.process.lose_keeper(),
    }
}

struct Child {
    process: FakeProcess,
    seat: Seat,
    window_ms: u64,
    chance: Chance,
    unread: Vec<u8>,
}

impl Child {
    async fn live(&mut self) -> io::Result<End> {
        loop {
            let Some(line) = self.line().await? else {
                return self.unheard().await;
            };
            let message: Value = match line {
                Ok(line) => serde_json::from_slice(&line).expect("the host writes JSON"),
                Err(end) => return Ok(end),
            };
            let done = match message["type"].as_str() {
                Some("hello") => self.greet().await?,
                Some("observe") => self.act(&message).await?,
                Some("question") => self.answer(&message).await?,
                Some("end") => Some(End::Exit(0)),
                _ => None,
            };
            if let Some(end) = done {
                return Ok(end);
            }
        }
    }

    /// The next line; none at the end of the input, an end where it is told to end.
    async fn line(&mut self) -> io::Result<Option<Result<Vec<u8>, End>>> {
        loop {
            if let Some(at) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(at + 1);
                return Ok(Some(Ok(std::mem::replace(&mut self.unread, rest))));
            }
            tokio::select! {
                biased;
                order = self.process.order() => {
                    stir();
                    if let Some(end) = self.obeys(order?) {
                        return Ok(Some(Err(end)));
                    }
                }
                more = self.process.read(&mut self.unread) => {
                    stir();
                    if !more? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn obeys(&self, order: Order) -> Option<End> {
        match order {
            Order::Term if self.seat.habits.ignores_term => None,
            Order::Term => Some(End::Signal(15)),
            Order::Kill | Order::Closed => Some(End::Signal(9)),
        }
    }

    /// Its input has ended: it ends too, or waits to be ended.
    async fn unheard(&mut self) -> io::Result<End> {
        match self.seat.habits.ignores_term {
            true => self
                .wait(None)
                .await
                .map(|end| end.unwrap_or(End::Signal(9))),
            false => Ok(End::Exit(0)),
        }
    }

    /// Does nothing for a time, or for good, unless it is told to end.
    async fn wait(&mut self, time: Option<Duration>) -> io::Result<Option<End>> {
        let over = async {
            match time {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                order = self.process.order() => {
                    stir();
                    if let Some(end) = self.obeys(order?) {
                        return Ok(Some(end));
                    }
                }
                () = &mut over => {
                    stir();
                    return Ok(None);
                }
            }
        }
    }

    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<Option<End>> {
        while !bytes.is_empty() {
            stir();
            match self.process.write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(end) = self.wait(Some(FULL)).await? {
                        return Ok(Some(end));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn say(&mut self, message: Value) -> io::Result<Option<End>> {
        self.write(format!("{message}\n").as_bytes()).await
    }

    async fn greet(&mut self) -> io::Result<Option<End>> {
        if self.seat.habits.never_ready {
            return Ok(None);
        }
        let time = Duration::from_millis(self.chance.within(0, 20));
        if let Some(end) = self.wait(Some(time)).await? {
            return Ok(Some(end));
        }
        self.say(json!({"type": "ready", "name": "a fake"})).await
    }

    async fn answer(&mut self, question: &Value) -> io::Result<Option<End>> {
        let habits = self.seat.habits.clone();
        if self.chance.percent(habits.silent) {
            return Ok(None);
        }
        let value = match self.chance.percent(habits.garbage) {
            true => json!("no object"),
            false => {
                json!({"apples": self.chance.within(0, 99), "trust": self.chance.within(0, 10)})
            }
        };
        let (name, tick) = (&question["name"], &question["tick"]);
        self.say(json!({"type": "answer", "question": name, "tick": tick, "value": value}))
            .await
    }

    async fn act(&mut self, observation: &Value) -> io::Result<Option<End>> {
        let habits = self.seat.habits.clone();
        let tick = observation["tick"]
            .as_u64()
            .expect("an observation has a tick");
        let mut ms = self.chance.within(self.seat.pace_ms.0, self.seat.pace_ms.1);
        if self.chance.percent(habits.late) {
            ms = self.window_ms + self.chance.within(1, 2 * self.window_ms);
        }
        if self.chance.percent(habits.hang) {
            return self.wait(None).await;
        }
        if let Some(end) = self.wait(Some(Duration::from_millis(ms))).await? {
            return Ok(Some(end));
        }
        if self.chance.percent(habits.crash) {
            return Ok(Some(match self.chance.within(0, 3) {
                0 => End::Exit(0),
                1 => End::Exit(1),
                2 => End::Signal(11),
                _ => End::Signal(9),
            }));
        }
        if self.chance.percent(habits.lose_keeper) {
            return Ok(Some(End::KeeperLost));
        }
        if self.chance.percent(habits.mute) {
            self.process.close_output();
            return self.wait(None).await;
        }
        if self.chance.percent(habits.silent) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        if self.chance.percent(habits.chatter) {
            let met = self.chance.within(0, 9);
            bytes.extend(
                format!("{}\n", json!({"type": "remember", "state": {"met": met}})).bytes(),
            );
            bytes.extend(format!("{}\n", json!({"type": "log", "text": "on my way"})).bytes());
        }
        if self.chance.percent(habits.garbage) {
            bytes.extend(self.chance.one_of(&[
                &b"Traceback:\n"[..],
                b"\xff\xfe\x00\n",
                b"{}\n",
                b"{\"type\":\"act\"}\n",
                b"\n",
            ]));
        }
        if self.chance.percent(habits.huge) {
            bytes.resize(bytes.len() + HUGE, b'x');
            bytes.push(b'\n');
        }
        if self.chance.percent(habits.flood) {
            for _ in 0..self.chance.within(100, 500) {
                bytes.extend(self.line_of(tick).bytes());
            }
        }
        let wrong = self.chance.percent(habits.wrong_tick);
        let answered = match wrong {
            true => (tick + self.chance.within(0, 4)).saturating_sub(2),
            false => tick,
        };
        let line = self.line_of(answered);
        let times = if self.chance.percent(habits.twice) {
            self.chance.within(2, 4)
        } else {
            1
        };
        for _ in 0..times {
            bytes.extend(line.bytes());
        }
        if self.chance.percent(habits.halves) {
            let (first, second) = bytes.split_at(bytes.len() - line.len() / 2);
            if let Some(end) = self.write(first).await? {
                return Ok(Some(end));
            }
            let pause = Duration::from_millis(self.chance.within(0, self.window_ms));
            if let Some(end) = self.wait(Some(pause)).await? {
                return Ok(Some(end));
            }
            return self.write(second).await;
        }
        self.write(&bytes).await
    }

    /// An answer: one of what can be done, good or not.
    fn line_of(&mut self, tick: u64) -> String {
        let dir = self
            .chance
            .one_of(&["north", "east", "south", "west", "up"]);
        let actions = match self.chance.within(0, 5) {
            0 => json!([]),
            1 => json!([{"name": "fly"}]),
            2 => json!([{"name": "zap"}]),
            _ => json!([{"name": "move", "args": {"dir": dir}}]),
        };
        format!(
            "{}\n",
            json!({"type": "act", "tick": tick, "actions": actions})
        )
    }
}
