//! `#[tool]` on a function.

use crate::{
    definition::{Definition, State, conditions},
    kind::Kind,
    tool_options::ToolOptions,
};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, FnArg, ItemFn, Result, spanned::Spanned};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = ToolOptions::read(options)?;
    let mut function: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(error.span(), "#[tool] stands on a function: `async fn name(..) -> ..`")
    })?;
    if let Some(FnArg::Receiver(receiver)) = function.sig.inputs.first() {
        let reason = "for tools that are methods write #[tools] on their `impl` block";
        return Err(Error::new(receiver.span(), reason));
    }
    let definition = Definition::read(options, &function.attrs, &mut function.sig)?;
    let root = definition.options.root();
    let state = State::new(definition.context(), Kind::Tool, &root);
    let tool = definition.expression(&state, None, &root);
    let (name, vis) = (&function.sig.ident, &function.vis);
    let (generic, state) = (state.generic(&root), state.ty());
    let conditions = conditions(&function.attrs);
    let doc = format!("Has the tool of the function `{name}`: `{name}::tool()`.");
    Ok(quote! {
        #function

        #conditions
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #vis enum #name {}

        #conditions
        impl #name {
            /// The tool.
            #vis fn tool<#generic>() -> #root::Tool<#state> {
                #tool
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::expand;
    use crate::refusals::refused;

    #[test]
    fn what_is_no_tool_is_refused_where_it_stands_with_what_to_do() {
        for (item, place, reason) in [
            ("async fn add() {}", "add", "write a doc comment"),
            ("/// Adds.\nstruct Add;", "struct", "stands on a function"),
            ("/// Adds.\nasync fn add(&self) {}", "&self", "write #[tools]"),
            ("/// Adds.\nasync fn add<T>(a: T) {}", "T", "cannot be generic"),
            ("/// Adds.\nasync fn add(a: &str) {}", "&str", "write `String`"),
            ("/// Adds.\nasync fn add(a: &[u8]) {}", "&[u8]", "write `Vec<..>`"),
            ("/// Adds.\nasync fn add(a: &mut ToolContext) {}", "&mut ToolContext", "write `&ToolContext`"),
            ("/// Adds.\nasync fn add(a: &ToolContext, b: &u8) {}", "&u8", "one context"),
            ("/// Adds.\nasync fn add((a, b): (u8, u8)) {}", "(a, b)", "needs a name"),
            ("/// Adds.\nasync fn add(#[default] a: u8) {}", "#[default]", "#[default(10)]"),
            ("/// Adds.\nasync fn add(#[complete(f)] a: A) {}", "#[complete(f)]", "leave #[complete] out"),
            ("/// Adds.\nasync fn add(#[arguments] a: A, b: u8) {}", "a", "the only one"),
            ("/// Adds.\nasync fn add(a: u8, b: u8, #[arguments] c: C) {}", "c", "the only one"),
            ("/// Adds.\nasync fn add(#[cfg(x)] a: A) {}", "#[cfg(x)]", "put the attribute on the function"),
            ("/// Adds.\nunsafe fn add() {}", "unsafe", "cannot be unsafe"),
        ] {
            refused(expand, "", item, place, reason);
        }
    }

    #[test]
    fn options_that_do_not_fit_are_refused_where_they_stand() {
        const ADD: &str = "/// Adds.\nasync fn add() {}";
        for (options, place, reason) in [
            ("red_only", "red_only", "it has `name`, `title`, `description`, `read_only`"),
            ("read_only, read_only", "read_only", "stands twice"),
            ("name = \"two words\"", "\"two words\"", "has ' ' in it"),
            ("name = \"\"", "\"\"", "is empty"),
            ("name = 5", "5", "write `name = \"...\"`"),
            ("title", "title", "write `title = \"...\"`"),
            ("description = \" \"", "\" \"", "is empty"),
            ("timeout = \"30\"", "\"30\"", "as in \"30s\""),
            ("timeout = \"0s\"", "\"0s\"", "as in \"30s\""),
            ("timeout", "timeout", "write `timeout = \"30s\"`"),
            ("read_only = 1", "1", "write `read_only = false`"),
            ("retry", "retry", "write `retry = RetryPolicy::new()`"),
        ] {
            refused(expand, options, ADD, place, reason);
        }
    }
}
