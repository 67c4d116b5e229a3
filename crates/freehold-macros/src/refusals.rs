//! For tests: what an attribute says of an item that it refuses, and where it points to.

use crate::Expand;
use proc_macro2::TokenStream;

fn error_of(expand: Expand, options: &str, item: &str) -> syn::Error {
    let read = |text: &str| text.parse::<TokenStream>().expect("tokens");
    let refused = expand(read(options), read(item));
    refused.expect_err(&format!("#[..({options})] {item} is refused"))
}

/// The item, or the options, are refused: at `place`, a part of them, and `reason` is a part of what is said.
pub(crate) fn refused(expand: Expand, options: &str, item: &str, place: &str, reason: &str) {
    check(&error_of(expand, options, item), place, reason);
}

fn check(error: &syn::Error, place: &str, reason: &str) {
    let text = error.to_string();
    assert!(text.contains(reason), "{reason:?} is not in {text:?}");
    assert_eq!(error.span().source_text().as_deref(), Some(place), "for {text:?}");
}
