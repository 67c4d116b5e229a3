//! The chapters of the guide, so that `cargo test` compiles and runs their code. To be read as a book: `mdbook serve guide`,
//! or the files in `guide/src` as they are.

#![forbid(unsafe_code)]

/// Makes a chapter the documentation of a module, where its code blocks are tests.
macro_rules! chapters {
    ($($chapter:ident = $file:literal;)+) => {$(
        #[doc = include_str!(concat!("src/", $file))]
        pub mod $chapter {}
    )+};
}

chapters! {
    introduction = "introduction.md";
    concepts = "concepts.md";
    start = "start.md";
    lock_order = "lock-order.md";
    guarantees = "guarantees.md";
    reports = "reports.md";
    deployment = "deployment.md";
    limits = "limits.md";
    migrating = "migrating.md";
    threats = "threats.md";
    benchmarks = "benchmarks.md";
    versions = "versions.md";
}
