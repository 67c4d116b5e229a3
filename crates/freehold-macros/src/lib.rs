#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod arguments;
mod callable;
mod definition;
mod docs;
mod function;
mod kind;
mod methods;
mod offer_options;
mod offered;
mod options;
#[cfg(test)]
mod refusals;
mod signature;
mod tool_name;
mod tool_options;
mod uri;

use proc_macro::TokenStream;
use quote::quote;

/// Makes a tool of a documented function; `add` stays what it is, and `add::tool()` is the tool.
///
/// The documentation of `freehold_mcp::tool` has the whole of it.
#[proc_macro_attribute]
pub fn tool(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(function::expand, options, item)
}

/// Makes tools of the methods of an `impl` block that carry `#[tool]`.
///
/// The documentation of `freehold_mcp::tools` has the whole of it.
#[proc_macro_attribute]
pub fn tools(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(methods::expand, options, item)
}

/// Makes a prompt of a documented function; `greet` stays what it is, and `greet::prompt()` is the prompt.
///
/// The documentation of `freehold_mcp::prompt` has the whole of it.
#[proc_macro_attribute]
pub fn prompt(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(offered::prompt, options, item)
}

/// Makes a resource, or a template of resources, of a documented function; `readme` stays what it is, and
/// `readme::resource()` or `readme::resource_template()` is the resource or the template.
///
/// The documentation of `freehold_mcp::resource` has the whole of it.
#[proc_macro_attribute]
pub fn resource(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(offered::resource, options, item)
}

type Expand = fn(proc_macro2::TokenStream, proc_macro2::TokenStream) -> syn::Result<proc_macro2::TokenStream>;

/// With an error the item stays, so that the compiler does not complain of its absence, too.
fn expand(expand: Expand, options: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    match expand(options.into(), item.clone()) {
        Ok(expanded) => expanded.into(),
        Err(error) => {
            let error = error.to_compile_error();
            let item = signature::without_our_attributes(item);
            quote!(#error #item).into()
        }
    }
}
