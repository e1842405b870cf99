//! A scenario's files, in memory. It must not know where they came from: the host reads folders, a recording holds bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Files by path: relative, `/` between the parts. Cloning shares the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    files: BTreeMap<String, Arc<[u8]>>,
}

impl Bundle {
    /// An empty bundle.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, or replaces the one of that path.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Arc<[u8]>>) {
        self.files.insert(path.into(), bytes.into());
    }

    /// A file's bytes.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(AsRef::as_ref)
    }

    /// All files, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<[u8]>)> {
        self.files
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes))
    }

    /// BLAKE3 over the files in the order of their paths, each as path length, path, content length, content (lengths
    /// as 64-bit little-endian numbers): equal for equal files, however they were inserted.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"formicarium bundle 1\n");
        for (path, bytes) in &self.files {
            for part in [path.as_bytes(), bytes] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        *hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_of_content_not_of_insertion() {
        let mut one = Bundle::new();
        one.insert("a", *b"1");
        one.insert("b", *b"2");
        let mut two = Bundle::new();
        two.insert("b", *b"2");
        two.insert("a", *b"1");
        assert_eq!(one.digest(), two.digest());
        two.insert("a", *b"12");
        assert_ne!(one.digest(), two.digest());
        let (mut ab, mut ba) = (Bundle::new(), Bundle::new());
        ab.insert("a", *b"bc");
        ba.insert("ab", *b"c");
        assert_ne!(
            ab.digest(),
            ba.digest(),
            "a path must not run into its content"
        );
    }
}
