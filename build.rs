//! Puts the built viewer where `src/page.rs` embeds it from; without one, a page that says how to build it.

use std::path::Path;
use std::{env, fs, io};

const PLACEHOLDER: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Formicarium</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}code{background:#eee;padding:.1em .3em}</style>
<h1>The glass is not built yet</h1>
<p>This formicarium runs and records, and its feed is open at <code>/feed</code>, but it was built without the viewer.
Build it with Node 20 or newer, then build the host again:</p>
<pre><code>make viewer
cargo build --release</code></pre>
</html>
";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=viewer/dist");
    let page = Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("page");
    if page.exists() {
        fs::remove_dir_all(&page)?;
    }
    fs::create_dir_all(&page)?;
    let built = Path::new("viewer/dist");
    if built.join("index.html").is_file() {
        copy(built, &page)
    } else {
        fs::write(page.join("index.html"), PLACEHOLDER)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
