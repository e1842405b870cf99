//! The engine stays a function of its inputs: what it may depend on is listed here, and nothing else gets in.

/// Each with what it is for. None of them opens files, sockets, threads or clocks on the engine's behalf.
const ALLOWED: &[&str] = &[
    "bevy_ecs",    // entities and systems
    "bevy_tasks",  // only with the feature `threads`
    "blake3",      // digest of a bundle
    "jsonschema",  // whether a question's schema is one; without features it fetches nothing
    "postcard",    // keyframes
    "serde",       // derive only
    "serde_json",  // schemas as data
    "strsim",      // did you mean
    "thiserror",   // errors
    "toml",        // scenario files, with spans
    "xxhash-rust", // hash of the state
];

#[test]
fn allow_list() {
    let manifest: toml::Table = include_str!("../Cargo.toml").parse().unwrap();
    let names: Vec<&str> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for name in &names {
        assert!(
            ALLOWED.contains(name),
            "{name} is not on the engine's allow-list; see the top of this file"
        );
    }
    for name in ALLOWED {
        assert!(
            names.contains(name),
            "{name} is allowed but not used; remove it"
        );
    }
    for table in ["build-dependencies", "target"] {
        assert!(
            !manifest.contains_key(table),
            "[{table}] would be a way around the list"
        );
    }
    let bevy = manifest["dependencies"]["bevy_ecs"].as_table().unwrap();
    assert_eq!(
        bevy["default-features"].as_bool(),
        Some(false),
        "bevy's defaults bring an async executor"
    );
    let workspace: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
    let jsonschema = &workspace["workspace"]["dependencies"]["jsonschema"];
    assert_eq!(
        jsonschema["default-features"].as_bool(),
        Some(false),
        "its defaults fetch schemas from files and from the network"
    );
}

#[test]
fn lints_ban_the_outside() {
    let lints: toml::Table = include_str!("../clippy.toml").parse().unwrap();
    let listed = |key: &str| -> Vec<String> {
        let entries = lints[key].as_array().unwrap();
        entries
            .iter()
            .map(|entry| entry["path"].as_str().unwrap().to_owned())
            .collect()
    };
    let (types, methods) = (listed("disallowed-types"), listed("disallowed-methods"));
    for banned in [
        "HashMap",
        "HashSet",
        "Instant",
        "SystemTime",
        "File",
        "Command",
    ] {
        assert!(
            types.iter().any(|path| path.ends_with(banned)),
            "{banned} is not banned"
        );
    }
    for banned in ["std::thread::spawn", "std::env::var", "std::fs::read"] {
        assert!(
            methods.iter().any(|path| path == banned),
            "{banned} is not banned"
        );
    }
}
