//! Paths in the shared tree: which names there may be.
//!
//! Must not know the file system: a path is a checked text.

use std::fmt;

/// Most folders and file name in a path together.
pub const DEPTH: usize = 64;
/// Most bytes of one name.
pub const NAME_BYTES: usize = 255;
/// Most bytes of a path.
pub const PATH_BYTES: usize = 1024;

/// A path below the root of the shared tree: `a/b/c`, one to [`DEPTH`] names, each checked. Case is significant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(String);

/// Why a name cannot stand in the shared tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing, `/a`, `a//b`, `a/`, `.` or `..`.
    #[error("a path is relative to the shared folder and has no empty, `.` or `..` names")]
    NotRelative,
    /// Too many names.
    #[error("it is deeper than {DEPTH} folders")]
    TooDeep,
    /// Too many bytes.
    #[error("a name has at most {NAME_BYTES} bytes and a path at most {PATH_BYTES}")]
    TooLong,
    /// Git's own folder: what stands in it runs programs.
    #[error("`.git` stays on the desk: it can name programs that git would run")]
    Git,
    /// Control characters.
    #[error("a name has no control characters")]
    Control,
    /// Not UTF-8.
    #[error("a name has to be UTF-8")]
    NotUtf8,
}

/// Checks one name of a path.
///
/// # Errors
/// See [`PathError`].
pub fn check_name(name: &[u8]) -> Result<&str, PathError> {
    let name = std::str::from_utf8(name).map_err(|_| PathError::NotUtf8)?;
    if matches!(name, "" | "." | "..") || name.contains('/') {
        return Err(PathError::NotRelative);
    }
    if name.len() > NAME_BYTES {
        return Err(PathError::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    // In any case: some file systems, and git with them, do not tell `.GIT` from `.git`.
    if name.eq_ignore_ascii_case(".git") {
        return Err(PathError::Git);
    }
    Ok(name)
}

impl TreePath {
    /// Checks a path.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn new(path: &str) -> Result<TreePath, PathError> {
        if path.len() > PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let mut depth = 0;
        for name in path.split('/') {
            check_name(name.as_bytes())?;
            depth += 1;
        }
        if depth > DEPTH {
            return Err(PathError::TooDeep);
        }
        Ok(TreePath(path.to_owned()))
    }

    /// The path of an entry of this folder.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn join(&self, name: &[u8]) -> Result<TreePath, PathError> {
        let name = check_name(name)?;
        if self.0.len() + 1 + name.len() > PATH_BYTES {
            return Err(PathError::TooLong);
        }
        if self.depth() >= DEPTH {
            return Err(PathError::TooDeep);
        }
        Ok(TreePath(format!("{}/{name}", self.0)))
    }

    /// An entry of `folder`, or of the root when there is none.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn entry(folder: Option<&TreePath>, name: &[u8]) -> Result<TreePath, PathError> {
        match folder {
            Some(folder) => folder.join(name),
            None => check_name(name).map(|name| TreePath(name.to_owned())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many names it has.
    pub fn depth(&self) -> usize {
        self.0.bytes().filter(|b| *b == b'/').count() + 1
    }

    /// The last name.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The folder it stands in; none for an entry of the root.
    pub fn parent(&self) -> Option<TreePath> {
        self.0
            .rsplit_once('/')
            .map(|(parent, _)| TreePath(parent.to_owned()))
    }

    /// All folders above it, the nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = TreePath> + use<> {
        std::iter::successors(self.parent(), TreePath::parent)
    }

    /// Whether it stands below `folder`, at any depth.
    pub fn is_below(&self, folder: &TreePath) -> bool {
        self.0
            .strip_prefix(folder.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// The keys of a sorted map of paths that stand below this one lie between `path/` and `path0`.
    pub(crate) fn below(&self) -> std::ops::Range<TreePath> {
        TreePath(format!("{}/", self.0))..TreePath(format!("{}0", self.0))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for TreePath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<TreePath, PathError> {
        TreePath::new(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_paths_there_may_be() {
        let deep = vec!["d"; 64].join("/");
        for good in [
            "a",
            "a/b",
            "a b",
            ".x",
            "\u{e4}",
            ".gitignore",
            "a.git",
            "A",
            &deep,
            &"n".repeat(255),
        ] {
            assert!(TreePath::new(good).is_ok(), "{good:?}");
        }
        for (bad, why) in [
            ("", PathError::NotRelative),
            ("/a", PathError::NotRelative),
            ("a/", PathError::NotRelative),
            ("a//b", PathError::NotRelative),
            ("a/./b", PathError::NotRelative),
            ("../a", PathError::NotRelative),
            ("a/..", PathError::NotRelative),
            (".git", PathError::Git),
            ("a/.GIT/config", PathError::Git),
            ("a\nb", PathError::Control),
            ("a\u{7f}", PathError::Control),
            ("a\u{85}", PathError::Control),
            ("a\0", PathError::Control),
            (&format!("{deep}/d"), PathError::TooDeep),
            (&"n".repeat(256), PathError::TooLong),
            (&vec!["n".repeat(200); 6].join("/"), PathError::TooLong),
        ] {
            assert_eq!(TreePath::new(bad), Err(why), "{bad:?}");
        }
        assert_eq!(check_name(b"\xff"), Err(PathError::NotUtf8));
        let full = TreePath::new(&deep).unwrap();
        assert_eq!(full.join(b"x"), Err(PathError::TooDeep));
    }

    #[test]
    fn below_is_what_stands_in_a_folder_and_nothing_beside_it() {
        let folder = TreePath::new("a").unwrap();
        let range = folder.below();
        for (path, inside) in [
            ("a", false),
            ("a-b", false),
            ("a.b", false),
            ("a/b", true),
            ("a/b/c", true),
            ("a0", false),
            ("b", false),
        ] {
            let path = TreePath::new(path).unwrap();
            assert_eq!(path.is_below(&folder), inside, "{path}");
            assert_eq!(range.contains(&path), inside, "{path}");
        }
        let path = TreePath::new("a/b/c").unwrap();
        let above: Vec<String> = path.ancestors().map(|p| p.to_string()).collect();
        assert_eq!(above, ["a/b", "a"]);
        assert_eq!((path.name(), path.depth()), ("c", 3));
    }
}
