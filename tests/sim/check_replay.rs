//! The recording: whole, and replayed it gives the hashes that the run had.

use formicarium::recorder::verify::verify;

use crate::host::Outcome;

/// Finds what is wrong.
pub fn check(outcome: &Outcome) -> Result<(), String> {
    let report = verify(outcome.folder.path()).map_err(|error| error.to_string())?;
    if !report.faults.is_empty() || !report.unchecked.is_empty() {
        return Err(format!(
            "the recording: {:?}, not checked: {:?}",
            report.faults, report.unchecked
        ));
    }
    if !report.ended {
        return Err("the recording has no end".into());
    }
    if report.ticks != outcome.summary.ticks || report.hash.as_ref() != Some(&outcome.summary.hash)
    {
        let (replayed, live) = (report.hash, &outcome.summary.hash);
        return Err(format!(
            "replayed it has hash {replayed:?} after {} ticks, and live {live}",
            report.ticks
        ));
    }
    Ok(())
}
