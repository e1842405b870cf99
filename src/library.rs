//! Finds a scenario's files: a folder, `./scenarios/NAME`, or one that is embedded in the binary.
//!
//! The only place that reads scenario files from disk; what it returns is in memory, with the folder
//! from which a cast's program files can be copied. Must not know what the files mean.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use formicarium_engine::Bundle;
use rust_embed::RustEmbed;
use thiserror::Error;

/// The shipped scenarios, and the agents that their casts copy from.
#[derive(RustEmbed)]
#[folder = "."]
#[include = "scenarios/**"]
#[include = "agents/examples/*.py"]
#[include = "agents/examples/*.sh"]
#[exclude = "*.svg"]
#[exclude = "scenarios/*/sweeps/**"]
#[exclude = "**/__pycache__/**"]
struct Shipped;

/// Files of a scenario that are larger are refused: a scenario is text and small pictures.
const FILE_MOST: u64 = 16 << 20;
/// Files of a scenario at most.
const FILES_MOST: usize = 4096;
/// Depth of folders at most.
const DEPTH_MOST: usize = 16;

/// A scenario as found.
#[derive(Debug)]
pub struct Source {
    /// Its files.
    pub bundle: Bundle,
    /// Its folder on disk; none for an embedded one.
    pub folder: Option<PathBuf>,
    /// The name under which it was found.
    pub name: String,
}

/// Why a scenario was not found or not read.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// Nothing of that name.
    #[error(
        "there is no scenario '{name}': neither a folder with a scenario.toml of that name, nor ./scenarios/{name}, nor a shipped one (shipped: {shipped})"
    )]
    Missing {
        /// What was asked for.
        name: String,
        /// What there is.
        shipped: String,
    },
    /// A file that cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// More than a scenario may have.
    #[error("{path}: {why}", path = .path.display())]
    Limit {
        /// The file or folder.
        path: PathBuf,
        /// The limit.
        why: String,
    },
}

/// Finds a scenario by path or name.
pub fn find(name: &str) -> Result<Source, LibraryError> {
    for folder in [PathBuf::from(name), Path::new("scenarios").join(name)] {
        // `scenario.toml` itself may be named too.
        let folder = match folder.file_name() {
            Some(file) if file == "scenario.toml" => {
                folder.parent().unwrap_or(Path::new(".")).to_owned()
            }
            _ => folder,
        };
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder
        };
        if folder.join("scenario.toml").is_file() {
            return read_folder(&folder);
        }
    }
    if !name.contains('/') {
        let mut bundle = Bundle::new();
        let prefix = format!("scenarios/{name}/");
        for path in Shipped::iter().filter(|path| path.starts_with(&prefix)) {
            if let Some(file) = Shipped::get(&path) {
                bundle.insert(path[prefix.len()..].to_owned(), file.data.into_owned());
            }
        }
        if bundle.get("scenario.toml").is_some() {
            return Ok(Source {
                bundle,
                folder: None,
                name: name.to_owned(),
            });
        }
    }
    Err(LibraryError::Missing {
        name: name.to_owned(),
        shipped: shipped().join(", "),
    })
}

/// Names of the embedded scenarios.
pub fn shipped() -> Vec<String> {
    let mut names: Vec<String> = Shipped::iter()
        .filter_map(|path| {
            let name = path
                .strip_prefix("scenarios/")?
                .strip_suffix("/scenario.toml")?;
            Some(name.to_owned())
        })
        .collect();
    names.sort();
    names
}

/// Writes the embedded scenario and the agents beside it under `to`, laid out as in the project, so
/// that a cast's relative paths hold. Returns the scenario's folder.
pub fn unpack(name: &str, to: &Path) -> Result<PathBuf, LibraryError> {
    let prefix = format!("scenarios/{name}/");
    for path in
        Shipped::iter().filter(|path| path.starts_with(&prefix) || path.starts_with("agents/"))
    {
        let Some(file) = Shipped::get(&path) else {
            continue;
        };
        let target = to.join(&*path);
        let parent = target.parent().unwrap_or(to);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&target, &file.data));
        written.map_err(|source| LibraryError::Io {
            path: target.clone(),
            source,
        })?;
    }
    Ok(to.join("scenarios").join(name))
}

/// Writes a scenario's files under `to` as in the project, with the shipped agents beside them that casts copy from.
pub fn lay_out(bundle: &Bundle, name: &str, to: &Path) -> Result<PathBuf, LibraryError> {
    let folder = to.join("scenarios").join(name);
    let agents = Shipped::iter().filter(|path| path.starts_with("agents/"));
    let agents = agents.filter_map(|path| Some((to.join(&*path), Shipped::get(&path)?.data)));
    let own = bundle
        .iter()
        .map(|(path, body)| (folder.join(path), body.to_vec().into()));
    for (target, body) in agents.chain(own) {
        let parent = target.parent().unwrap_or(to);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&target, &body));
        written.map_err(|source| LibraryError::Io {
            path: target.clone(),
            source,
        })?;
    }
    Ok(folder)
}

fn read_folder(folder: &Path) -> Result<Source, LibraryError> {
    let mut bundle = Bundle::new();
    let mut count = 0;
    let mut open = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((path, prefix, depth)) = open.pop() {
        let failed = |source| LibraryError::Io {
            path: path.clone(),
            source,
        };
        let mut entries = fs::read_dir(&path)
            .map_err(failed)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let failed = |source| LibraryError::Io {
                path: path.clone(),
                source,
            };
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(LibraryError::Limit {
                    path,
                    why: "its name is not UTF-8; rename it".into(),
                });
            };
            // Hidden files and caches are no part of a scenario; nor are sweeps over it, which people edit while the
            // scenario's digest must stay.
            let cache = name.starts_with('.') || name == "__pycache__" || name == "node_modules";
            if cache || (depth == 0 && name == "sweeps") {
                continue;
            }
            let inner = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                if depth >= DEPTH_MOST {
                    let why = format!("a scenario's folders may be nested {DEPTH_MOST} deep");
                    return Err(LibraryError::Limit { path, why });
                }
                open.push((path, format!("{inner}/"), depth + 1));
            } else if kind.is_file() {
                count += 1;
                if count > FILES_MOST {
                    let why = format!(
                        "a scenario may have {FILES_MOST} files; is this the right folder?"
                    );
                    return Err(LibraryError::Limit {
                        path: folder.to_owned(),
                        why,
                    });
                }
                if entry.metadata().map_err(failed)?.len() > FILE_MOST {
                    let why = format!("a scenario's file may have {FILE_MOST} bytes");
                    return Err(LibraryError::Limit { path, why });
                }
                bundle.insert(inner, fs::read(&path).map_err(failed)?);
            }
        }
    }
    let name = folder
        .canonicalize()
        .ok()
        .and_then(|path| {
            path.file_name()
                .and_then(|name| name.to_str().map(str::to_owned))
        })
        .unwrap_or_else(|| "scenario".into());
    Ok(Source {
        bundle,
        folder: Some(folder.to_owned()),
        name,
    })
}
