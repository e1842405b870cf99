//! Three-way merge of texts.
//!
//! Must not know paths or versions. What is no text, or too large for a merge in bounded time, is never merged.

/// Largest text that is merged, in bytes.
pub const MERGE_BYTES: usize = 1024 * 1024;
/// Most lines of a text that is merged: the time of a difference grows with lines times changes.
pub const MERGE_LINES: usize = 20_000;

/// Merges what two sides made of a base. None when their changes touch or overlap, or when one of the three is no text.
pub fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    let (base, ours, theirs) = (text(base)?, text(ours)?, text(theirs)?);
    diffy::merge(base, ours, theirs)
        .ok()
        .map(String::into_bytes)
}

fn text(content: &[u8]) -> Option<&str> {
    if content.len() > MERGE_BYTES || content.contains(&0) {
        return None;
    }
    let text = std::str::from_utf8(content).ok()?;
    (memchr::memchr_iter(b'\n', content).count() < MERGE_LINES).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_merged_and_what_collides() {
        let base = "one\ntwo\nthree\nfour\nfive\n";
        let cases = [
            (
                "ONE\ntwo\nthree\nfour\nfive\n",
                "one\ntwo\nthree\nfour\nFIVE\n",
                Some("ONE\ntwo\nthree\nfour\nFIVE\n"),
            ),
            (
                "one\ntwo\nthree\nfour\nfive\nsix\n",
                "zero\none\ntwo\nthree\nfour\nfive\n",
                Some("zero\none\ntwo\nthree\nfour\nfive\nsix\n"),
            ),
            (
                "one\nTWO\nthree\nfour\nfive\n",
                "one\n2\nthree\nfour\nfive\n",
                None,
            ),
            (
                "one\nthree\nfour\nfive\n",
                "one\n2\nthree\nfour\nfive\n",
                None,
            ),
            (
                "one\ntwo\nthree\nfour\nfive\na\n",
                "one\ntwo\nthree\nfour\nfive\nb\n",
                None,
            ),
        ];
        for (ours, theirs, expected) in cases {
            let merged = merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
            let merged = merged.map(|m| String::from_utf8(m).unwrap());
            assert_eq!(merged.as_deref(), expected, "{ours:?} {theirs:?}");
        }
        assert_eq!(
            merge(b"a\nb\n\0", b"A\nb\n\0", b"a\nB\n\0"),
            None,
            "no text"
        );
        assert_eq!(
            merge(b"a\xff\n", b"b\xff\n", b"a\xff\nc\n"),
            None,
            "no UTF-8"
        );
        let long = "x\n".repeat(MERGE_LINES);
        assert_eq!(
            merge(long.as_bytes(), b"y\n", b"z\n"),
            None,
            "too many lines"
        );
    }

    proptest! {
        /// Edits of lines that lie apart are merged, and both are in the result, whole.
        #[test]
        fn edits_apart_are_both_kept(lines in 12..60usize, one in 0..5usize, other in 6..12usize,
                                     cut in prop::bool::ANY, grow in prop::bool::ANY) {
            let base: Vec<String> = (0..lines).map(|n| format!("line {n}\n")).collect();
            let (mut ours, mut theirs, mut both) = (base.clone(), base.clone(), base.clone());
            let mine = if cut { String::new() } else { "mine\n".to_owned() };
            let yours = if grow { "yours\nand more\n".to_owned() } else { "yours\n".to_owned() };
            ours[one] = mine.clone();
            theirs[other] = yours.clone();
            both[one] = mine;
            both[other] = yours;
            let merged = merge(base.concat().as_bytes(), ours.concat().as_bytes(), theirs.concat().as_bytes());
            prop_assert_eq!(merged, Some(both.concat().into_bytes()));
        }

        /// Whatever the texts, a merge with an unchanged side is the other side.
        #[test]
        fn an_unchanged_side_gives_way(base in "([a-c]\n){0,20}", ours in "([a-c]\n){0,20}") {
            let (base, ours) = (base.as_bytes(), ours.as_bytes());
            prop_assert_eq!(merge(base, ours, base), Some(ours.to_vec()));
            prop_assert_eq!(merge(base, base, ours), Some(ours.to_vec()));
        }
    }
}
