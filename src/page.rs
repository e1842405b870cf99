//! The spectator page, built from `viewer/` and embedded; without Node, a page that says how to build it.

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/page"]
struct Page;

/// A file of the page and its content type.
pub fn file(path: &str) -> Option<(Vec<u8>, &'static str)> {
    let file = Page::get(path)?;
    let kind = match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    Some((file.data.into_owned(), kind))
}
