//! Links of the repository's documents lead somewhere: to a file, and to a heading of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Links to files of the repository that books and package pages need in full.
const ON_GITHUB: [&str; 2] = [
    "https://github.com/freehold-rs/freehold/blob/main/",
    "https://github.com/freehold-rs/freehold/tree/main/",
];

/// All documents, but those that were installed or built.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_str().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !["target", "node_modules", "out", "book"].contains(&name) {
                documents(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The text without what is code: it may look like a link and is none.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // Every other part between backticks is code.
            prose.extend(line.split('`').enumerate().map(|(i, part)| if i % 2 == 0 { part } else { "code" }));
            prose.push('\n');
        }
    }
    prose
}

/// The targets of all inline links and of link definitions.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let defined =
        prose.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ").map(|(_, target)| target));
    inline.chain(defined).map(|target| target.trim().to_owned()).collect()
}

/// What a heading is called in links, by GitHub and by mdBook.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut seen = BTreeMap::<String, usize>::new();
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced && line.starts_with('#') {
            let name = anchor(line);
            let count = seen.entry(name.clone()).or_default();
            anchors.insert(if *count == 0 { name } else { format!("{name}-{count}") });
            *count += 1;
        }
    }
    anchors
}

/// Without `..`, so that a path can be shown and compared; links do not leave the repository by way of a symbolic one.
fn flat(path: &Path) -> PathBuf {
    let mut flat = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(flat.pop()),
            Component::CurDir => {}
            part => flat.push(part),
        }
    }
    flat
}

/// Why a link of the document leads nowhere.
fn complaint(document: &Path, text: &str, link: &str) -> Option<String> {
    let repository = flat(Path::new(REPOSITORY));
    let github = ON_GITHUB.iter().find_map(|prefix| link.strip_prefix(prefix));
    // What needs a network, and what rustdoc resolves and complains of.
    let is_foreign = github.is_none() && (link.contains("://") || link.starts_with("mailto:"));
    if is_foreign || link.contains("::") || link.starts_with("macro@") {
        return None;
    }
    let (path, heading) = github.unwrap_or(link).split_once('#').unwrap_or((github.unwrap_or(link), ""));
    let target = match (github, path) {
        (None, "") => document.to_owned(),
        (None, path) => flat(&document.parent().unwrap().join(path)),
        (Some(_), path) => repository.join(path),
    };
    if !target.exists() {
        return Some(format!("{link}: there is no {}", target.display()));
    }
    let target_text =
        if target == document { text.to_owned() } else { fs::read_to_string(&target).unwrap_or_default() };
    let is_there = heading.is_empty() || anchors(&target_text).contains(heading);
    (!is_there).then(|| format!("{link}: {} has no such heading", target.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut found = Vec::new();
    documents(&flat(Path::new(REPOSITORY)), &mut found);
    assert!(found.len() > 20, "the documents were not found: {found:?}");
    let mut complaints = Vec::new();
    let mut seen = 0;
    for document in found {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            seen += 1;
            complaints.extend(
                complaint(&document, &text, &link).map(|why| format!("{}: {why}", document.display())),
            );
        }
    }
    assert!(seen > 60, "only {seen} links were seen");
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn what_is_no_link_and_what_leads_nowhere() {
    let document = flat(&Path::new(REPOSITORY).join("guide/src/start.md"));
    let text = "# Two words, `code`\n[a](b.md) `[c](d)` [e]\n```\n[f](g)\n```\n[e]: h.md#i\n";
    assert_eq!(links(text), ["b.md", "h.md#i"]);
    for good in
        ["#two-words-code", "limits.md", "../src/limits.md#memory-roughly", "https://example.com/none"]
    {
        assert_eq!(complaint(&document, text, good), None);
    }
    let github = "https://github.com/freehold-rs/freehold/blob/main/";
    assert_eq!(complaint(&document, text, &format!("{github}README.md#what-is-guaranteed")), None);
    for bad in ["#three", "none.md", "limits.md#none", &format!("{github}NONE.md")] {
        assert!(complaint(&document, text, bad).is_some(), "{bad}");
    }
}

/// `SUMMARY.md`, the folder and the chapters that are compiled are the same list.
#[test]
fn the_book_has_every_chapter_and_so_have_its_tests() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| fs::read_to_string(guide.join(file)).unwrap();
    let in_summary: BTreeSet<String> = links(&read("src/SUMMARY.md")).into_iter().collect();
    let files = fs::read_dir(guide.join("src")).unwrap().map(|file| file.unwrap().file_name());
    let files: BTreeSet<String> =
        files.map(|name| name.into_string().unwrap()).filter(|name| name != "SUMMARY.md").collect();
    let tested = read("chapters.rs");
    let tested = tested.lines().filter_map(|line| line.trim().strip_suffix("\";")?.split_once(" = \""));
    let tested: BTreeSet<String> = tested.map(|(_, file)| file.to_owned()).collect();
    assert_eq!(in_summary, files);
    assert_eq!(tested, files);
}
