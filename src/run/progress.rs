//! What a person at the terminal sees while a run goes on: one line, four times a second.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Numbers of the progress line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Standings {
    /// Tick.
    pub tick: u64,
    /// Seats that play.
    pub ready: usize,
    /// Of them, late at the last tick.
    pub late: usize,
    /// Absent seats.
    pub absent: usize,
    /// Seats without an agent.
    pub away: usize,
}

/// The line; cheap to update from the tick loop.
#[derive(Debug, Clone)]
pub struct Progress {
    now: Arc<Mutex<Standings>>,
    bar: Option<ProgressBar>,
}

const REDRAW: Duration = Duration::from_millis(250);

impl Progress {
    /// A line on standard error if that is a terminal, else nothing.
    pub fn new(ticks: u64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = match ticks {
                0 => ProgressBar::new_spinner(),
                _ => ProgressBar::new(ticks),
            };
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(4));
            let template = match ticks {
                0 => "tick {pos}  {msg}",
                _ => "tick {pos}/{len}  {msg}  {bar:24}",
            };
            bar.set_style(ProgressStyle::with_template(template).expect("a constant template"));
            bar
        });
        Progress {
            now: Arc::default(),
            bar,
        }
    }

    /// Notes the present numbers.
    pub fn set(&self, standings: Standings) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = standings;
    }

    /// Redraws until dropped.
    pub async fn draw(self) {
        let Some(bar) = &self.bar else { return };
        let mut clock = tokio::time::interval(REDRAW);
        let mut last = 0;
        let mut rate = 0.0;
        loop {
            clock.tick().await;
            let now = *self.now.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = (now.tick - last) as f64 / REDRAW.as_secs_f64();
            rate = if last == 0 {
                fresh
            } else {
                0.7 * rate + 0.3 * fresh
            };
            last = now.tick;
            bar.set_position(now.tick);
            bar.set_message(format!(
                "{rate:.0} ticks/s  {} playing, {} late, {} absent, {} away",
                now.ready, now.late, now.absent, now.away
            ));
        }
    }

    /// Takes the line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// A log writer that does not tear the line.
    pub fn writer(&self) -> LogWriter {
        LogWriter {
            bar: self.bar.clone(),
        }
    }
}

/// Writes log lines to standard error, above the progress line.
#[derive(Debug, Clone)]
pub struct LogWriter {
    bar: Option<ProgressBar>,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &self.bar {
            Some(bar) => bar.suspend(|| std::io::stderr().write(bytes)),
            None => std::io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
