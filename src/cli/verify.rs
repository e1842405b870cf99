//! `formicarium verify`: whether a recording is whole, for people and for CI. Reads only; the run may still go on.

use std::path::PathBuf;

use clap::Args;

use super::table::table;
use super::{Exit, fail};
use crate::recorder::verify::{Report, verify};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A run's folder or its run.db.
    run: PathBuf,
    /// Print one JSON object on standard output instead of words.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &VerifyArgs) -> Exit {
    let report = match verify(&args.run) {
        Ok(report) => report,
        Err(error) => return fail(Exit::Failed, &error),
    };
    // What was not made again is not known to be good.
    let is_executed = report.hash.is_some();
    let (exit, verdict) = match (report.faults.is_empty(), is_executed) {
        (false, _) => (Exit::Different, "damaged"),
        (true, true) => (Exit::Good, "good"),
        (true, false) => (Exit::Failed, "unknown"),
    };
    match args.json {
        true => {
            let mut json = serde_json::to_value(&report).unwrap_or_default();
            json["verdict"] = verdict.into();
            println!("{json}");
        }
        false => print!("{}", words(&report, verdict)),
    }
    exit
}

fn words(report: &Report, verdict: &str) -> String {
    let hash = report.hash.as_deref().unwrap_or("not made again");
    let end = match report.ended {
        true => "",
        false => "; the run has no end (cut off, or still going on)",
    };
    let mut text = format!("{verdict}: {} ticks, hash {hash}{end}\n", report.ticks);
    if let Some(chain) = &report.chain {
        let open = match chain.open {
            0 => String::new(),
            rows => format!(", {rows} rows after the last one are open"),
        };
        text += &format!(
            "chain: {} blocks, digest {}{open}\n",
            chain.blocks, chain.digest
        );
    }
    text += &format!("keyframes restored: {}\n", report.keyframes);
    if report.facts > 0 {
        text += &format!("shared files: {} facts\n", report.facts);
    }
    for what in &report.unchecked {
        text += &format!("not checked: {what}\n");
    }
    if report.faults.is_empty() {
        return text;
    }
    let mut rows = vec![
        ["TABLE", "TICK", "ROW", "WHAT IS WRONG"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(report.faults.iter().map(|fault| {
        vec![
            match fault.table.is_empty() {
                true => "(file)".to_owned(),
                false => fault.table.clone(),
            },
            fault.tick.map_or("-".to_owned(), |tick| tick.to_string()),
            fault.row.clone().unwrap_or("-".to_owned()),
            fault.why.clone(),
        ]
    }));
    text + "\n" + &table(&rows, &[1])
}
