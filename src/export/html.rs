//! One file that plays a run in a browser, with no server and no request: the page with its script and style inside,
//! and the run as the frames of the feed.
//!
//! The frames stand in a `<script id="recording">` of no executable type: base64 of one raw deflate stream of records,
//! each a length (u32, little-endian, of what follows), a byte (0 control message, 1 frame) and the message. Must not
//! know what frames mean.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::film::{Reel, shoot};
use super::folder::Folder;
use super::{ExportError, Played};
use crate::page;
use crate::recorder::reader::Recording;

/// Bytes of messages that a page holds at most: a browser keeps several times as much.
pub const MOST_BYTES: u64 = 64 << 20;

/// The error of a run whose frame at `tick` does not fit any more.
pub(super) fn too_long(tick: u64) -> ExportError {
    ExportError::TooLong {
        tick,
        most_mib: MOST_BYTES >> 20,
    }
}

struct Tape<W: Write> {
    out: DeflateEncoder<W>,
    bytes: u64,
    path: PathBuf,
}

impl<W: Write> Reel for Tape<W> {
    fn take(&mut self, is_frame: bool, tick: u64, bytes: &[u8]) -> Result<(), ExportError> {
        self.bytes += bytes.len() as u64 + 5;
        if self.bytes > MOST_BYTES {
            return Err(too_long(tick));
        }
        let length = bytes.len() as u32 + 1;
        let mut put = || {
            self.out.write_all(&length.to_le_bytes())?;
            self.out.write_all(&[u8::from(is_frame)])?;
            self.out.write_all(bytes)
        };
        put().map_err(|source| ExportError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

/// Writes the page to `file`, which must not be there unless `force`.
///
/// # Errors
/// See [`ExportError`].
pub fn play(recording: &Recording, file: &Path, force: bool) -> Result<Played, ExportError> {
    let (head, tail) = page().ok_or(ExportError::NoPage)?;
    let wrong = |why: &str| ExportError::File {
        file: file.to_owned(),
        why: why.to_owned(),
    };
    let name = file
        .file_name()
        .ok_or_else(|| wrong("is no name of a file"))?;
    let name = name.to_str().ok_or_else(|| wrong("is not UTF-8"))?;
    if !force && file.symlink_metadata().is_ok() {
        return Err(wrong("is there already (--force replaces it)"));
    }
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let _moment = recording.moment()?;
    let mut folder = Folder::open(parent, true)?;
    let failed = |source| ExportError::Write {
        path: file.to_owned(),
        source,
    };
    let out = folder.create(name).map_err(failed)?;
    (&out).write_all(head.as_bytes()).map_err(failed)?;
    let encoder = EncoderWriter::new(io::BufWriter::new(&out), &STANDARD);
    let mut tape = Tape {
        out: DeflateEncoder::new(encoder, Compression::best()),
        bytes: 0,
        path: file.to_owned(),
    };
    let ticks = shoot(recording, &mut tape)?;
    tape.out
        .finish()
        .and_then(|mut encoder| encoder.finish())
        .and_then(|mut whole| whole.flush())
        .map_err(failed)?;
    (&out).write_all(tail.as_bytes()).map_err(failed)?;
    out.sync_all().map_err(failed)?;
    let bytes = out.metadata().map_err(failed)?.len();
    folder.keep()?;
    Ok(Played { ticks, bytes })
}

/// The page with all of it inside, cut where the recording goes; none if the host was built without it.
fn page() -> Option<(String, String)> {
    let (index, _) = page::file("index.html")?;
    let index = String::from_utf8(index).ok()?;
    let asset = |address: &str| -> Option<String> {
        let (bytes, _) = page::file(address.trim_start_matches("./"))?;
        String::from_utf8(bytes).ok()
    };
    let (index, script) = cut(&index, "<script type=\"module\"", "</script>", "src")?;
    let (index, style) = cut(&index, "<link rel=\"stylesheet\"", ">", "href")?;
    // A text that would end the element; in strings and patterns of a script the backslash changes nothing.
    let script = asset(&script)?.replace("</script", "<\\/script");
    let style = asset(&style)?;
    let index = index.replacen("</head>", &format!("<style>{style}</style></head>"), 1);
    let (head, tail) = index.split_once("</body>")?;
    Some((
        format!("{head}<script type=\"application/octet-stream\" id=\"recording\">"),
        format!("</script><script type=\"module\">{script}</script></body>{tail}"),
    ))
}

/// Takes an element out and gives one of its attributes.
fn cut(text: &str, from: &str, to: &str, attribute: &str) -> Option<(String, String)> {
    let start = text.find(from)?;
    let end = start + text[start..].find(to)? + to.len();
    let element = &text[start..end];
    let value = element.split_once(&format!("{attribute}=\""))?.1;
    let value = value.split_once('"')?.0.to_owned();
    Some((format!("{}{}", &text[..start], &text[end..]), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_so_much_and_then_says_at_which_tick_it_was_full() {
        let mut tape = Tape {
            out: DeflateEncoder::new(io::sink(), Compression::fast()),
            bytes: 0,
            path: PathBuf::new(),
        };
        let message = vec![0; 16 << 20];
        for tick in 0..3 {
            tape.take(true, tick, &message).expect("it fits");
        }
        let error = tape
            .take(true, 3, &message)
            .expect_err("a few bytes too many");
        assert!(
            error
                .to_string()
                .contains("64 MiB of frames, and these end at tick 3"),
            "{error}"
        );
    }

    #[test]
    fn an_element_is_cut_out_with_its_attribute() {
        let page = "<head><script type=\"module\" crossorigin src=\"./a.js\"></script><b></b>";
        let (rest, address) =
            cut(page, "<script type=\"module\"", "</script>", "src").expect("one");
        assert_eq!(
            (rest.as_str(), address.as_str()),
            ("<head><b></b>", "./a.js")
        );
        assert_eq!(cut(page, "<link", ">", "href"), None);
    }
}
