//! `#[tools]` on an `impl` block.

use crate::{
    definition::{Definition, State, conditions},
    kind::Kind,
    options,
    tool_options::ToolOptions,
};
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Error, FnArg, ImplItem, ImplItemFn, ItemImpl, Meta, Path, Receiver, ReceiverKind, Result,
    Type, Visibility, parse_quote, spanned::Spanned,
};

const KNOWN: [&str; 3] = ["name", "vis", "crate"];

/// What `#[tools(..)]` says.
struct Options {
    /// The name of the function that gives the tools.
    name: Ident,
    vis: Visibility,
    root: Option<Path>,
}

impl Options {
    fn read(tokens: TokenStream) -> Result<Self> {
        let mut read =
            Self { name: Ident::new("tools", Span::call_site()), vis: parse_quote!(pub), root: None };
        for given in options::read(tokens, "tools", &KNOWN)? {
            match given.name.to_string().as_str() {
                "name" => read.name = given.value("admin_tools")?,
                "vis" => read.vis = given.value("pub(crate)")?,
                _ => read.root = Some(given.value("path::to::freehold_mcp")?),
            }
        }
        Ok(read)
    }
}

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Options { name, vis, root } = Options::read(options)?;
    let mut block: ItemImpl = syn::parse2(item).map_err(|error| {
        Error::new(error.span(), "#[tools] stands on an `impl` block: `impl MyServer { .. }`")
    })?;
    check(&block)?;
    let root = root.map_or_else(|| quote!(::freehold_mcp), |path| quote!(#path));
    let tools = definitions(&mut block)?;
    let state = State::new(tools.iter().find_map(|(tool, _)| tool.context()), Kind::Tool, &root);
    let this = &*block.self_ty;
    let made = tools.iter().map(|(tool, conditions)| {
        let tool = tool.expression(&state, Some(this), &root);
        let tool = with_self(tool, this);
        quote!(#conditions tools.push({ #tool });)
    });
    let (generic, state) = (state.generic(&root), state.ty());
    let conditions = conditions(&block.attrs);
    Ok(quote! {
        #block

        #conditions
        impl #this {
            /// The tools among its methods, which share it.
            #vis fn #name<#generic>(self: &::std::sync::Arc<Self>) -> ::std::vec::Vec<#root::Tool<#state>> {
                let mut tools = ::std::vec::Vec::new();
                #(#made)*
                tools
            }
        }
    })
}

fn check(block: &ItemImpl) -> Result<()> {
    if let Some((of, _)) = &block.trait_ {
        return Err(Error::new(
            of.span(),
            "tools are methods of the type itself: write `impl MyServer { .. }`",
        ));
    }
    if let Some(parameter) = block.generics.params.first() {
        let reason = "a tool has one schema, so its type cannot be generic; name the types";
        return Err(Error::new(parameter.span(), reason));
    }
    Ok(())
}

/// The methods that carry `#[tool]`, each with its conditions.
fn definitions(block: &mut ItemImpl) -> Result<Vec<(Definition, TokenStream)>> {
    let mut tools = Vec::new();
    let mut errors: Option<Error> = None;
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        match definition(method) {
            Ok(Some(tool)) => tools.push((tool, conditions(&method.attrs))),
            Ok(None) => {}
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
    }
    match errors {
        Some(errors) => Err(errors),
        None if tools.is_empty() => Err(Error::new(
            block.self_ty.span(),
            "no tool in here; write #[tool] above each method that is one",
        )),
        None => Ok(tools),
    }
}

fn definition(method: &mut ImplItemFn) -> Result<Option<Definition>> {
    let Some(place) = method.attrs.iter().position(is_tool) else { return Ok(None) };
    let attribute = method.attrs.remove(place);
    let options = match &attribute.meta {
        Meta::Path(_) => TokenStream::new(),
        Meta::List(list) => list.tokens.clone(),
        Meta::NameValue(pair) => {
            return Err(Error::new(pair.span(), "options stand in parentheses: `#[tool(name = \"...\")]`"));
        }
    };
    let options = ToolOptions::read(options)?;
    if let Some(root) = &options.root {
        return Err(Error::new(root.span(), "`crate` belongs to #[tools]"));
    }
    let shared = matches!(
        method.sig.inputs.first(),
        Some(FnArg::Receiver(Receiver { kind: ReceiverKind::Reference(_, _, None), .. }))
    );
    if !shared {
        let place = method.sig.inputs.first().map_or(method.sig.ident.span(), Spanned::span);
        let reason = "calls share the server, so a tool takes `&self`; what changes is behind a lock, or in the session's state";
        return Err(Error::new(place, reason));
    }
    Definition::read(options, &method.attrs, &mut method.sig).map(Some)
}

fn is_tool(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "tool")
}

/// With `Self` spelled out: items inside of a function do not know it.
fn with_self(tokens: TokenStream, this: &Type) -> TokenStream {
    let replaced = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(ident) if ident == "Self" => quote!(#this),
        TokenTree::Group(group) => {
            let mut inner = proc_macro2::Group::new(group.delimiter(), with_self(group.stream(), this));
            inner.set_span(group.span());
            inner.into_token_stream()
        }
        other => other.into_token_stream(),
    });
    replaced.collect()
}

#[cfg(test)]
mod tests {
    use super::expand;
    use crate::refusals::refused;

    #[test]
    fn what_cannot_be_tools_is_refused_where_it_stands() {
        for (item, place, reason) in [
            ("fn f() {}", "fn", "stands on an `impl` block"),
            ("impl Debug for Server {}", "Debug", "of the type itself"),
            ("impl<T> Server<T> {}", "T", "cannot be generic"),
            ("impl Server { fn f(&self) {} }", "Server", "write #[tool] above"),
            ("impl Server {\n/// It.\n#[tool] fn f(&mut self) {} }", "&mut self", "takes `&self`"),
            (
                "impl Server {\n/// It.\n#[tool] fn f(self: Arc<Self>) {} }",
                "self: Arc<Self>",
                "takes `&self`",
            ),
            ("impl Server {\n/// It.\n#[tool] fn f() {} }", "f", "takes `&self`"),
            ("impl Server { #[tool] fn f(&self) {} }", "f", "write a doc comment"),
            ("impl Server {\n/// It.\n#[tool = 1] fn f(&self) {} }", "tool = 1", "in parentheses"),
            ("impl Server {\n/// It.\n#[tool(crate = x)] fn f(&self) {} }", "x", "belongs to #[tools]"),
        ] {
            refused(expand, "", item, place, reason);
        }
        refused(expand, "pub", "impl Server {}", "pub", "no option `pub`");
    }
}
