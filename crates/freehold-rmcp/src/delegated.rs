//! No release of rmcp slips a method past us: what is passed on here is held against the trait in rmcp's source, and the
//! messages that are read against its unions.

use crate::{
    guard::DELEGATED,
    request::{NOTIFICATIONS, REQUESTS},
};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};
use syn::{
    Item, ItemMacro, ItemTrait, Token, TraitItem,
    parse::{Parse, ParseStream},
};

type Names = BTreeSet<String>;

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Names {
    names.into_iter().map(str::to_owned).collect()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let run = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let run = run.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(run.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("UTF-8")
}

/// The source of the rmcp that this crate is built with.
fn rmcp() -> PathBuf {
    let version = output(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    // Of other platforms some packages may not be there.
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", host];
    let metadata = output(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), &arguments);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let rmcp: Vec<_> = packages.iter().filter(|package| package["name"] == "rmcp").collect();
    assert_eq!(rmcp.len(), 1, "one rmcp");
    let manifest = PathBuf::from(rmcp[0]["manifest_path"].as_str().expect("a path"));
    manifest.parent().expect("a folder").join("src")
}

fn source(file: &str) -> syn::File {
    let path = rmcp().join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `() => { methods };`
struct OnlyRule(Vec<TraitItem>);

impl Parse for OnlyRule {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let pattern;
        syn::parenthesized!(pattern in input);
        if !pattern.is_empty() {
            return Err(pattern.error("the macro has parameters now"));
        }
        input.parse::<Token![=>]>()?;
        let body;
        syn::braced!(body in input);
        let mut items = Vec::new();
        while !body.is_empty() {
            items.push(body.parse()?);
        }
        input.parse::<Option<Token![;]>>()?;
        Ok(Self(items))
    }
}

/// `export type Name = | Variant | box Variant;`
struct Union {
    name: String,
    variants: Names,
}

impl Parse for Union {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let words: Vec<String> =
            input.parse::<proc_macro2::TokenStream>()?.into_iter().map(|token| token.to_string()).collect();
        let at = words.iter().position(|word| word == "=").ok_or_else(|| input.error("no ="))?;
        let variants = words[at..].iter().filter(|word| word.starts_with(char::is_uppercase));
        Ok(Self { name: words[at - 1].clone(), variants: variants.cloned().collect() })
    }
}

fn functions(items: &[TraitItem]) -> Names {
    let names = items.iter().filter_map(|item| match item {
        TraitItem::Fn(function) => Some(function.sig.ident.to_string()),
        _ => None,
    });
    names.collect()
}

fn macros<'a>(file: &'a syn::File, name: &'a str) -> impl Iterator<Item = &'a ItemMacro> {
    file.items.iter().filter_map(move |item| match item {
        Item::Macro(found)
            if found.mac.path.is_ident(name) || found.ident.as_ref().is_some_and(|ident| ident == name) =>
        {
            Some(found)
        }
        _ => None,
    })
}

/// The methods of rmcp's `ServerHandler`.
fn handler_methods() -> Names {
    let file = source("handler/server.rs");
    let traits: Vec<&ItemTrait> = file
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Trait(found) if found.ident == "ServerHandler" => Some(found),
            _ => None,
        })
        .collect();
    assert!(!traits.is_empty(), "rmcp declares ServerHandler elsewhere now; look for it there");
    let mut methods = Names::new();
    for found in traits {
        methods.extend(functions(&found.items));
        for item in &found.items {
            let TraitItem::Macro(called) = item else { continue };
            let name = called.mac.path.require_ident().expect("a macro of this file").to_string();
            let rules = macros(&file, &name).next().expect("the macro is in this file");
            let OnlyRule(items) = rules.mac.parse_body().expect("one rule with the methods");
            methods.extend(functions(&items));
        }
    }
    methods
}

fn union(name: &str) -> Names {
    let file = source("model.rs");
    let unions = macros(&file, "ts_union").filter_map(|found| found.mac.parse_body::<Union>().ok());
    unions.into_iter().find(|union| union.name == name).expect("the union is in this file").variants
}

/// Methods of the trait that no message of a client asks for by itself.
const ASKED_BY_RMCP: [&str; 5] = [
    "accepted_subscription_filter",
    "get_info",
    "get_tool",
    "negotiate_initialize",
    "supported_protocol_versions",
];
/// Asked for by any method that the application names.
const CUSTOM: [&str; 2] = ["on_custom_notification", "on_custom_request"];
/// Answered by the transports, whose pings must overtake a full house.
const NOT_ASKED: [&str; 1] = ["ping"];

#[test]
fn a_guard_passes_on_every_method() {
    let methods = handler_methods();
    assert!(methods.contains("call_tool") && methods.len() > 30, "the source was read: {methods:?}");
    assert_eq!(names(DELEGATED.iter().copied()), methods);
}

#[test]
fn the_adapter_asks_for_every_method() {
    let asked = REQUESTS.iter().chain(NOTIFICATIONS).map(|(_, asked)| *asked);
    let all = asked.chain(ASKED_BY_RMCP).chain(CUSTOM).chain(NOT_ASKED);
    assert_eq!(names(all), handler_methods());
}

#[test]
fn the_adapter_reads_every_message() {
    // Each union has one variant a method, `ping`'s and that of all others.
    assert_eq!(REQUESTS.len() + 2, union("ClientRequest").len());
    assert_eq!(NOTIFICATIONS.len() + 1, union("ClientNotification").len());
}

#[test]
fn a_method_that_is_missing_is_found() {
    let methods = handler_methods();
    let mut fewer = names(DELEGATED.iter().copied());
    fewer.remove("list_skills");
    assert_ne!(fewer, methods);
}
