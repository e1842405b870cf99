//! `formicarium cost`: what the seats of a run have used, as a table.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, fail};
use crate::recorder::reader::{CostSum, Recording};

#[derive(Debug, Args)]
pub(super) struct CostArgs {
    /// A run's folder or its run.db; the run may still go on.
    run: PathBuf,
    /// Print one JSON object on standard output instead of a table.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CostArgs) -> Exit {
    let sums = match Recording::open(&args.run).and_then(|recording| recording.costs()) {
        Ok(sums) => sums,
        Err(error) => return fail(Exit::Failed, &error),
    };
    if args.json {
        println!("{}", serde_json::json!({"seats": sums}));
    } else if sums.is_empty() {
        println!("no seat of this run has called a model");
    } else {
        print!("{}", table(&sums));
    }
    Exit::Good
}

const HEAD: [&str; 9] = [
    "seat",
    "model",
    "calls",
    "failed",
    "input",
    "output",
    "cache read",
    "cache write",
    "US$",
];

fn table(sums: &[CostSum]) -> String {
    let cells = |sum: &CostSum, seat: &str, model: &str| -> Vec<String> {
        vec![
            seat.to_owned(),
            model.to_owned(),
            sum.calls.to_string(),
            sum.failed.to_string(),
            sum.input_tokens.to_string(),
            sum.output_tokens.to_string(),
            sum.cache_read_tokens.to_string(),
            sum.cache_write_tokens.to_string(),
            format!("{:.4}", sum.usd),
        ]
    };
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(sums.iter().map(|sum| cells(sum, &sum.seat, &sum.model)));
    let total = sums.iter().fold(CostSum::default(), |total, sum| CostSum {
        calls: total.calls + sum.calls,
        failed: total.failed + sum.failed,
        input_tokens: total.input_tokens + sum.input_tokens,
        output_tokens: total.output_tokens + sum.output_tokens,
        cache_read_tokens: total.cache_read_tokens + sum.cache_read_tokens,
        cache_write_tokens: total.cache_write_tokens + sum.cache_write_tokens,
        usd: total.usd + sum.usd,
        ..total
    });
    rows.push(cells(&total, "all", ""));
    super::table::table(&rows, &[2, 3, 4, 5, 6, 7, 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_heads() {
        let sum = |seat: &str, calls, usd| CostSum {
            seat: seat.into(),
            model: "m".into(),
            calls,
            input_tokens: 1200,
            usd,
            ..CostSum::default()
        };
        assert_eq!(
            table(&[sum("harvester-1", 50, 0.25), sum("b", 7, 0.0)]),
            "seat         model  calls  failed  input  output  cache read  cache write     US$\n\
             harvester-1  m         50       0   1200       0           0            0  0.2500\n\
             b            m          7       0   1200       0           0            0  0.0000\n\
             all                    57       0   2400       0           0            0  0.2500\n"
        );
    }
}
