//! The result of the suite: a verdict for each case, as a table and as JSON.
//!
//! Must not know how cases are run.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::case::Outcome;

/// What a level is documented not to hold.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// The level, as [`Confine::level`](super::Confine::level) names it.
    pub level: &'static str,
    /// The case.
    pub case: &'static str,
    /// Why, in one sentence.
    pub reason: &'static str,
}

/// What a case shows of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The attack was stopped.
    Held,
    /// The attack had an effect, as documented.
    Exception,
    /// The attack had an effect that is not documented, or a documented one no more, or the case could not be judged.
    Failed,
    /// A program or a feature of the kernel is missing.
    Skipped,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Exception => "exception",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// One case and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The case.
    pub case: String,
    /// What it shows.
    pub verdict: Verdict,
    /// By what it was stopped, what it did, or why it failed.
    pub how: String,
    /// Whether the attack had an effect, documented or not.
    pub escaped: bool,
    /// Milliseconds of wall-clock time.
    pub took_ms: u64,
}

impl Row {
    /// Judges an outcome by what is documented. `Err` is a case that hangs or cannot be judged.
    pub(super) fn judge(
        case: &str,
        outcome: Result<Outcome, String>,
        exception: Option<&Exception>,
    ) -> Self {
        let escaped = matches!(outcome, Ok(Outcome::Escaped(_)));
        let (verdict, how) = match (outcome, exception) {
            (Ok(Outcome::Held(how)), None) => (Verdict::Held, how),
            (Ok(Outcome::Held(how)), Some(_)) => (
                Verdict::Failed,
                format!("holds ({how}), although documented as an exception"),
            ),
            (Ok(Outcome::Escaped(what)), None) => (Verdict::Failed, what),
            (Ok(Outcome::Escaped(what)), Some(exception)) => {
                (Verdict::Exception, format!("{what}: {}", exception.reason))
            }
            (Ok(Outcome::Skipped(why)), _) => (Verdict::Skipped, why),
            (Ok(Outcome::Broken(why)) | Err(why), _) => (Verdict::Failed, why),
        };
        Self {
            case: case.to_owned(),
            verdict,
            how,
            escaped,
            took_ms: 0,
        }
    }
}

/// All cases of one level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The level.
    pub level: String,
    /// A row for each case, in the order in which they ran.
    pub rows: Vec<Row>,
}

impl Report {
    /// How many cases have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|r| r.verdict == verdict).count()
    }

    /// Whether nothing failed.
    pub fn is_clean(&self) -> bool {
        self.count(Verdict::Failed) == 0
    }
}

/// A table. Its last line counts what was tried; skipped cases are counted in the line before.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|r| r.case.len()).max().unwrap_or(0);
        writeln!(f, "level {}", self.level)?;
        for row in &self.rows {
            let word = row.verdict.word();
            writeln!(f, "{:width$}  {word:9}  {}", row.case, row.how)?;
        }
        let [held, exceptions, failed, skipped] = [
            Verdict::Held,
            Verdict::Exception,
            Verdict::Failed,
            Verdict::Skipped,
        ]
        .map(|v| self.count(v));
        if skipped > 0 {
            writeln!(f, "skipped {skipped}")?;
        }
        writeln!(
            f,
            "cases {} held {held} exceptions {exceptions} failed {failed}",
            held + exceptions + failed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Exception = Exception {
        level: "l",
        case: "c",
        reason: "because",
    };

    #[test]
    fn an_exception_has_to_be_as_documented() {
        let escaped = || Ok(Outcome::Escaped("w".into()));
        let held = || Ok(Outcome::Held("EPERM".into()));
        let verdict = |outcome, exception| Row::judge("c", outcome, exception).verdict;
        assert_eq!(verdict(held(), None), Verdict::Held);
        assert_eq!(verdict(held(), Some(&KNOWN)), Verdict::Failed);
        assert_eq!(verdict(escaped(), None), Verdict::Failed);
        assert_eq!(verdict(escaped(), Some(&KNOWN)), Verdict::Exception);
        assert_eq!(verdict(Err("hangs".into()), Some(&KNOWN)), Verdict::Failed);
        let broken = Ok(Outcome::Broken("EACCES".into()));
        assert_eq!(verdict(broken, None), Verdict::Failed);
        let skipped = Ok(Outcome::Skipped("no git".into()));
        assert_eq!(verdict(skipped, Some(&KNOWN)), Verdict::Skipped);
    }

    #[test]
    fn the_last_line_counts_and_json_brings_it_back() {
        let rows = vec![
            Row::judge("a", Ok(Outcome::Held("EACCES".into())), None),
            Row::judge("b", Ok(Outcome::Escaped("x".into())), Some(&KNOWN)),
            Row::judge("c", Ok(Outcome::Escaped("y".into())), None),
            Row::judge("d", Ok(Outcome::Skipped("no git".into())), None),
        ];
        let report = Report {
            level: "l".into(),
            rows,
        };
        let text = report.to_string();
        assert_eq!(
            text.lines().last(),
            Some("cases 3 held 1 exceptions 1 failed 1")
        );
        assert!(text.contains("\nskipped 1\n"), "{text}");
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        assert!(!report.is_clean());
    }
}
