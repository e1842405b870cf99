//! The field that benchmarks play in: room for a thousand agents.

use std::path::{Path, PathBuf};

/// The field as a scenario's folder: a hundred cells for each of 1,000 agents, so that an observation has about
/// 1 KB however many there are.
pub fn field() -> PathBuf {
    const SIDE: usize = 320;
    let folder =
        std::env::temp_dir().join(format!("formicarium-bench-{}-field", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/field/scenario.toml");
    std::fs::copy(from, folder.join("scenario.toml")).expect("the scenario");
    let row = ".".repeat(SIDE) + "\n";
    std::fs::write(folder.join("map.txt"), row.repeat(SIDE)).expect("the map");
    folder
}
