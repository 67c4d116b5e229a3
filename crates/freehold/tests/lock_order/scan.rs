//! Holds a crate's sources against its `lock_order.rs`, and that against `ARCHITECTURE.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use syn::{
    Attribute, Expr, ExprPath, Field, Fields, GenericArgument, Item, Macro, PathArguments, TypePath, UseTree,
    visit::{self, Visit},
};

/// Types that lock or wait, wherever they come from.
const KINDS: [&str; 17] = [
    "ScopedMutex",
    "Mutex",
    "RwLock",
    "ReentrantMutex",
    "FairMutex",
    "Condvar",
    "Barrier",
    "Notify",
    "Semaphore",
    "PermitPool",
    "OnceCell",
    "AtomicWaker",
    "ArcSwap",
    "ArcSwapOption",
    "ArcSwapAny",
    "DashMap",
    "DashSet",
];
/// Modules of channels, which lock, too.
const CHANNELS: [&str; 4] = ["watch", "mpsc", "oneshot", "broadcast"];
/// Crates that are about nothing else.
const CRATES: [&str; 9] = [
    "papaya",
    "arc_swap",
    "parking_lot",
    "dashmap",
    "flume",
    "async_lock",
    "async_channel",
    "scc",
    "crossbeam",
];

/// A source file of the crate: its module and its text.
pub(crate) struct Source {
    pub(crate) module: String,
    pub(crate) text: String,
}

/// Everything that is wrong with the crate in this folder.
pub(crate) fn complaints_of_crate(folder: &str) -> Vec<String> {
    let folder = Path::new(folder);
    let crates = folder.parent().expect("the folder of the crates");
    let mut sources = Vec::new();
    read_sources(&folder.join("src"), "", &mut sources);
    let read = |path: &str| fs::read_to_string(crates.join(path)).expect(path);
    let document = read("../ARCHITECTURE.md");
    // The document is about all of them.
    let lists = [
        "freehold/src/lock_order.rs",
        "freehold-mcp/src/lock_order.rs",
        "freehold-admin/src/lock_order.rs",
        "freehold-rmcp/src/lock_order.rs",
        "freehold-sync/src/signal.rs",
    ];
    let listed: Vec<_> =
        lists.iter().flat_map(|list| sections_in(&read(list))).map(|(_, name)| name).collect();
    let mut complaints = complaints(&sources);
    complaints.extend(complaints_about_document(&listed, &document));
    complaints
}

fn read_sources(folder: &Path, module: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned();
        let inner = match stem.as_str() {
            "mod" | "lib" => module.to_owned(),
            _ => joined(module, &stem),
        };
        if path.is_dir() && stem == "models" {
            // Of tests, all of them.
            continue;
        }
        if path.is_dir() {
            read_sources(&path, &inner, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Source { module: inner, text: fs::read_to_string(&path).expect("a source") });
        }
    }
}

fn joined(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// The sections that `sections!` declares here: their types and names.
fn sections_in(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let (declared, name) = line.trim().strip_suffix("\";")?.split_once(" = \"")?;
            let section = declared.trim_start_matches("pub(crate) ");
            let is_type =
                section.starts_with(char::is_uppercase) && section.chars().all(char::is_alphanumeric);
            is_type.then(|| (section.to_owned(), name.to_owned()))
        })
        .collect()
}

/// The locks of others that the table at the head of `lock_order.rs` names: where, and what.
fn foreign_in(text: &str) -> BTreeSet<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("//! | `")?.split('`');
            let (place, kind) = (cells.next()?, cells.nth(1)?);
            Some((place.to_owned(), kind.to_owned()))
        })
        .collect()
}

/// The names in the first column of the document's first table of sections.
fn documented(document: &str) -> Vec<String> {
    let (_, chapter) = document.split_once("## Every critical section").expect("the chapter");
    let (engine, _) = chapter.split_once("Those of `freehold-sync`").expect("its second half");
    let rows = engine.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let cell = row.split('|').nth(1).expect("a first cell");
        let name = cell.split(" (").next().expect("a first part");
        name.replace('`', "").trim().to_owned()
    })
    .collect()
}

pub(crate) fn complaints_about_document(listed: &[String], document: &str) -> Vec<String> {
    let documented = documented(document);
    let missing = listed.iter().filter(|name| !documented.contains(name));
    let gone = documented.iter().filter(|name| !listed.contains(name));
    missing
        .map(|name| format!("section `{name}` is not in ARCHITECTURE.md"))
        .chain(gone.map(|name| format!("ARCHITECTURE.md names `{name}`, which is no section")))
        .collect()
}

/// Everything that is wrong with these sources, of which one is `lock_order`.
pub(crate) fn complaints(sources: &[Source]) -> Vec<String> {
    let order = sources.iter().find(|source| source.module == "lock_order").expect("lock_order.rs");
    let mut seen = Scan::default();
    for source in sources.iter().filter(|source| source.module != "lock_order") {
        seen.file(source);
    }
    let mut complaints = std::mem::take(&mut seen.complaints);
    complaints.extend(seen.made_without_a_place());
    let foreign = foreign_in(&order.text);
    complaints.extend(
        seen.foreign
            .difference(&foreign)
            .map(|(place, kind)| format!("`{place}` is a {kind} that lock_order.rs does not list")),
    );
    complaints.extend(
        foreign
            .difference(&seen.foreign)
            .map(|(place, kind)| format!("lock_order.rs lists `{place}`, a {kind}, which is not there")),
    );
    let listed: BTreeSet<_> = sections_in(&order.text).into_iter().map(|(section, _)| section).collect();
    for section in &listed {
        match seen.sections.get(section).map_or(0, Vec::len) {
            1 => {}
            count => complaints.push(format!("section {section} is that of {count} locks")),
        }
    }
    let unlisted = seen.sections.iter().filter(|(section, _)| !listed.contains(*section));
    complaints
        .extend(unlisted.map(|(section, places)| format!("{places:?}: no section is called {section}")));
    complaints
}

#[derive(Default)]
struct Scan {
    module: String,
    /// What the names of the file stand for.
    names: BTreeMap<String, String>,
    /// The field or static that is being looked at.
    place: Option<String>,
    /// Where there are locks of others, and which.
    foreign: BTreeSet<(String, String)>,
    /// The locks of each section.
    sections: BTreeMap<String, Vec<String>>,
    /// How often a kind is made in a module.
    made: BTreeMap<(String, String), usize>,
    complaints: Vec<String>,
}

impl Scan {
    fn file(&mut self, source: &Source) {
        let file = syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.module));
        self.module.clone_from(&source.module);
        self.names.clear();
        self.visit_file(&file);
    }

    /// The kind of lock that a path is of, or nothing.
    fn kind(&self, path: &syn::Path) -> Option<String> {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let full = match self.names.get(&segments[0]) {
            Some(full) => [std::slice::from_ref(full), &segments[1..]].concat().join("::"),
            None => segments.join("::"),
        };
        kind_of(&full.split("::").collect::<Vec<_>>())
    }

    fn found(&mut self, path: &syn::Path) {
        let Some(kind) = self.kind(path) else { return };
        if kind == "ScopedMutex" {
            return self.found_section(path);
        }
        if let Some(place) = &self.place {
            self.foreign.insert((place.clone(), kind));
        }
    }

    fn found_section(&mut self, path: &syn::Path) {
        let section = path.segments.iter().find_map(|segment| match &segment.arguments {
            PathArguments::AngleBracketed(arguments) => match arguments.args.iter().nth(1) {
                Some(GenericArgument::Type(syn::Type::Path(section))) => section.path.segments.last(),
                _ => None,
            },
            _ => None,
        });
        let place = self.place.clone().unwrap_or_else(|| format!("something in {}", self.module));
        match section {
            Some(section) => self.sections.entry(section.ident.to_string()).or_default().push(place),
            None => self.complaints.push(format!("`{place}` is a ScopedMutex without a section")),
        }
    }

    /// Locks that are made where no field or static of their module is of their kind: in a variable, say.
    fn made_without_a_place(&self) -> Vec<String> {
        let places = |module: &str, kind: &str| {
            let of_kind = self.foreign.iter().filter(|(_, other)| other == kind);
            of_kind
                .filter(|(place, _)| place.rsplit_once("::").is_some_and(|(other, _)| other == module))
                .count()
        };
        let too_many = self.made.iter().filter(|((module, kind), count)| **count > places(module, kind));
        too_many
            .map(|((module, kind), count)| format!("{module} makes {count} {kind}, and has fewer"))
            .collect()
    }

    fn at(&mut self, place: String, look: impl FnOnce(&mut Self)) {
        let before = self.place.replace(joined(&self.module, &place));
        look(self);
        self.place = before;
    }

    fn fields(&mut self, owner: &str, fields: &Fields) {
        for (index, field) in fields.iter().enumerate() {
            let name = field.ident.as_ref().map_or(index.to_string(), ToString::to_string);
            self.at(format!("{owner}.{name}"), |scan| scan.visit_field(field));
        }
    }

    fn imports(&mut self, tree: &UseTree, path: &str) {
        match tree {
            UseTree::Path(inner) => self.imports(&inner.tree, &joined(path, &inner.ident.to_string())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.imports(tree, path)),
            UseTree::Name(name) if name.ident == "self" => {
                let last = path.rsplit("::").next().unwrap_or(path);
                self.names.insert(last.to_owned(), path.to_owned());
            }
            UseTree::Name(name) => {
                self.names.insert(name.ident.to_string(), joined(path, &name.ident.to_string()));
            }
            UseTree::Rename(rename) => {
                let full = joined(path, &rename.ident.to_string());
                self.names.insert(rename.rename.to_string(), full);
            }
            _ => {}
        }
    }
}

fn kind_of(path: &[&str]) -> Option<String> {
    // A constructor or a variant belongs to the type before it.
    if let Some(krate) = CRATES.iter().find(|krate| path[0] == **krate) {
        let kind = path[1..].iter().find(|segment| segment.starts_with(char::is_uppercase))?;
        let known = KINDS.contains(kind);
        return Some(if known { (*kind).to_owned() } else { format!("{krate}::{kind}") });
    }
    if let Some(kind) = path.iter().find(|segment| KINDS.contains(segment)) {
        return Some((*kind).to_owned());
    }
    let outside = ["std", "tokio", "futures", "futures_util", "futures_channel"].contains(&path[0]);
    let channel = path.iter().find(|segment| CHANNELS.contains(segment));
    channel.filter(|_| outside).map(|kind| (*kind).to_owned())
}

/// `#[cfg(test)]`, or the same of models: what no server has.
fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(cfg) if cfg.path.is_ident("cfg") => {
            let condition: String = cfg.tokens.to_string().split_whitespace().collect();
            ["test", "loom", "shuttle", "any(loom,shuttle)"].contains(&condition.as_str())
        }
        _ => false,
    })
}

impl<'ast> Visit<'ast> for Scan {
    fn visit_file(&mut self, file: &'ast syn::File) {
        // What names stand for has to be known before they are met, at any depth.
        struct Uses<'a>(&'a mut Scan);
        impl<'ast> Visit<'ast> for Uses<'_> {
            fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
                self.0.imports(&item.tree, "");
            }
        }
        Uses(self).visit_file(file);
        visit::visit_file(self, file);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if only_for_tests(attributes) {
            return;
        }
        match item {
            Item::Struct(item) => self.fields(&item.ident.to_string(), &item.fields),
            Item::Enum(item) => {
                for variant in &item.variants {
                    self.fields(&format!("{}::{}", item.ident, variant.ident), &variant.fields);
                }
            }
            Item::Static(found) => self.at(found.ident.to_string(), |scan| visit::visit_item(scan, item)),
            Item::Const(found) => self.at(found.ident.to_string(), |scan| visit::visit_item(scan, item)),
            Item::Type(found) => self.at(found.ident.to_string(), |scan| visit::visit_item(scan, item)),
            Item::Mod(found) => {
                let inner = joined(&self.module, &found.ident.to_string());
                let outer = std::mem::replace(&mut self.module, inner);
                visit::visit_item(self, item);
                self.module = outer;
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_field(&mut self, field: &'ast Field) {
        self.visit_type(&field.ty);
    }

    fn visit_type_path(&mut self, path: &'ast TypePath) {
        self.found(&path.path);
        visit::visit_type_path(self, path);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        if let Expr::Path(ExprPath { path, .. }) = expr
            && let (Some(kind), Some(last)) = (self.kind(path), path.segments.last())
            && last.ident.to_string().starts_with(char::is_lowercase)
        {
            match (kind.as_str(), last.ident.to_string().as_str()) {
                ("ScopedMutex", "new") => {
                    self.complaints.push(format!("{} makes a ScopedMutex without a section", self.module));
                }
                ("ScopedMutex", _) => {
                    let segments = path.segments.iter();
                    if segments
                        .filter(|segment| segment.ident == "ScopedMutex")
                        .any(|it| !it.arguments.is_none())
                    {
                        self.found_section(path);
                    }
                }
                _ => *self.made.entry((self.module.clone(), kind)).or_default() += 1,
            }
        }
        visit::visit_expr(self, expr);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        let tokens = called.tokens.to_string();
        let mut words = tokens.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(kind) = words.find(|word| KINDS.contains(word)) {
            self.complaints.push(format!("{} has a {kind} in a macro, where nobody finds it", self.module));
        }
    }
}
