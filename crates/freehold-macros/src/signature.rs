//! The signature of a function: its context, its arguments, and what must not be there.

use crate::{arguments::Argument, kind::Kind};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::quote;
use syn::{
    Attribute, Error, FnArg, Ident, Pat, PatType, Result, ReturnType, Safety, Signature, Type, TypeReference,
    spanned::Spanned,
};

/// What the parameters of a function are for.
pub(crate) struct Parameters {
    /// The type behind the `&` of the context.
    pub(crate) context: Option<Type>,
    pub(crate) arguments: Vec<Argument>,
    /// In the order of the function.
    pub(crate) order: Vec<Parameter>,
}

#[derive(Clone, Copy)]
pub(crate) enum Parameter {
    Context,
    /// By its place among the arguments.
    Argument(usize),
}

/// Reads the parameters and takes their attributes away, which only the attribute macro understands.
pub(crate) fn read(signature: &mut Signature, kind: Kind) -> Result<Parameters> {
    check(signature, kind)?;
    let mut read = Parameters { context: None, arguments: Vec::new(), order: Vec::new() };
    for input in &mut signature.inputs {
        let FnArg::Typed(parameter) = input else { continue };
        match &*parameter.ty {
            Type::Reference(reference) => {
                let context = context(reference, read.context.is_some(), kind)?;
                read.context = Some(context);
                read.order.push(Parameter::Context);
            }
            _ => {
                read.order.push(Parameter::Argument(read.arguments.len()));
                let argument = Argument::new(name(parameter)?, parameter, kind)?;
                read.arguments.push(argument);
            }
        }
        parameter.attrs.retain(is_of_the_language);
    }
    if read.arguments.len() > 1
        && let Some(whole) = read.arguments.iter().find(|argument| argument.is_whole)
    {
        return Err(Error::new(
            whole.name.span(),
            "#[arguments] has all arguments in it; it must be the only one",
        ));
    }
    Ok(read)
}

fn check(signature: &Signature, kind: Kind) -> Result<()> {
    let what = kind.noun();
    if let Safety::Unsafe(unsafety) = &signature.safety {
        return Err(Error::new(
            unsafety.span(),
            format!("a {what} is asked for by clients; it cannot be unsafe"),
        ));
    }
    if let Some(parameter) = signature.generics.params.first() {
        return Err(Error::new(
            parameter.span(),
            format!(
                "a {what} has one form, so its function cannot be generic; name the types (lifetimes can be left out)"
            ),
        ));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(Error::new(variadic.span(), format!("a {what} names its arguments; `...` has no names")));
    }
    Ok(())
}

fn context(reference: &TypeReference, is_second: bool, kind: Kind) -> Result<Type> {
    let owned = match &*reference.elem {
        Type::Path(path) if path.path.is_ident("str") => Some("String"),
        Type::Slice(_) => Some("Vec<..>"),
        _ => None,
    };
    if let Some(owned) = owned {
        let reason = format!("arguments are read from a request, so they are owned; write `{owned}`");
        return Err(Error::new(reference.span(), reason));
    }
    if reference.mutability.is_some() {
        let reason = format!("the context is shared; write `&{}`", kind.context());
        return Err(Error::new(reference.span(), reason));
    }
    if is_second {
        let reason = "a function has one context, and its arguments are owned; write the type without `&`";
        return Err(Error::new(reference.span(), reason));
    }
    Ok((*reference.elem).clone())
}

fn name(parameter: &PatType) -> Result<Ident> {
    match &*parameter.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            Ok(pattern.ident.clone())
        }
        other => Err(Error::new(
            other.span(),
            "an argument needs a name, which clients see; write `name: Type` and take it apart in the body",
        )),
    }
}

/// Whether an attribute of a parameter may stay there.
fn is_of_the_language(attribute: &Attribute) -> bool {
    ["allow", "expect", "warn", "deny", "forbid"].iter().any(|name| attribute.path().is_ident(name))
}

/// What a function returns.
pub(crate) fn output(signature: &Signature) -> TokenStream {
    match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, output) => quote!(#output),
    }
}

/// The item without attributes on parameters, and without `#[tool]`, for a compiler that is told of an error already.
pub(crate) fn without_our_attributes(item: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let mut kept = TokenStream::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        if let (TokenTree::Punct(punct), Some(TokenTree::Group(group))) = (token, tokens.get(index + 1))
            && punct.as_char() == '#'
            && group.delimiter() == Delimiter::Bracket
            && is_ours(group)
        {
            index += 2;
            continue;
        }
        kept.extend([match token {
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_our_attributes(group.stream()));
                inner.set_span(group.span());
                TokenTree::Group(inner)
            }
            other => other.clone(),
        }]);
        index += 1;
    }
    kept
}

fn is_ours(attribute: &Group) -> bool {
    let first = attribute.stream().into_iter().next();
    let Some(TokenTree::Ident(name)) = first else { return false };
    // Doc comments are an error on parameters; elsewhere nobody misses them any more.
    ["doc", "tool", "arguments", "default", "complete", "serde", "schemars"].iter().any(|ours| name == ours)
}
