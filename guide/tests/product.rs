//! What the guide shows of files of the repository is what is in them.

use std::{collections::BTreeSet, fs, path::Path};

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_proxies_are_configured_as_the_guide_shows() {
    let chapter = file("guide/src/deployment.md");
    for configuration in ["ops/nginx.conf", "ops/Caddyfile"] {
        assert!(
            chapter.contains(&file(configuration)),
            "the chapter on deployment does not show {configuration}"
        );
    }
}

/// The crates of the workspace that are published.
fn published() -> Vec<String> {
    let crates = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")).unwrap();
    crates.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect()
}

/// Crate, feature, and whether it is on by default.
fn features() -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    for name in published() {
        let manifest: toml::Table = file(&format!("crates/{name}/Cargo.toml")).parse().unwrap();
        let Some(features) = manifest.get("features").and_then(|features| features.as_table()) else {
            continue;
        };
        let default =
            features.get("default").and_then(|default| default.as_array()).cloned().unwrap_or_default();
        for feature in features.keys().filter(|feature| *feature != "default") {
            let on = default.iter().any(|on| on.as_str() == Some(feature));
            found.insert((name.clone(), feature.clone(), if on { "yes" } else { "no" }.to_owned()));
        }
    }
    found
}

#[test]
fn the_table_of_features_is_that_of_the_manifests() {
    let chapter = file("guide/src/versions.md");
    let section = chapter.split("\n## Features\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let told: BTreeSet<_> = rows
        .map(|row| {
            let mut cells = row.split(" | ").map(|cell| cell.trim_matches('`').to_owned());
            (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    assert_eq!(told, features());
}

/// The oldest Rust is named in documents for people, too.
#[test]
fn documents_name_the_rust_version_of_the_manifest() {
    let manifest: toml::Table = file("Cargo.toml").parse().unwrap();
    let oldest = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    for (document, sentence) in [
        ("README.md", format!("({oldest} or newer)")),
        ("crates/freehold-sync/README.md", format!("Rust {oldest} or newer")),
        ("guide/src/versions.md", format!("The oldest version supported is {oldest} ")),
        ("Dockerfile", format!("FROM rust:{oldest}-")),
    ] {
        assert!(file(document).contains(&sentence), "{document} does not say {sentence:?}");
    }
}
