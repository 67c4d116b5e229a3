//! `#[prompt]` and `#[resource]` on functions.

use crate::{
    arguments::Arguments,
    callable::Callable,
    definition::{State, conditions},
    kind::Kind,
    offer_options::OfferOptions,
    uri,
};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Error, FnArg, ItemFn, LitStr, Result, Token,
    parse::{ParseStream, Parser},
    spanned::Spanned,
};

pub(crate) fn prompt(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = OfferOptions::read(options, Kind::Prompt)?;
    let form = Form { kind: Kind::Prompt, builder: "Prompt", accessor: "prompt", returns: "PromptReturn" };
    Offered::read(form, None, options, item)?.expanded()
}

pub(crate) fn resource(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let place = options.span();
    let (uri, options) = uri_first.parse2(options).map_err(|error| {
        let place = if error.span().source_text().is_some() { error.span() } else { place };
        Error::new(place, "say its URI first: `#[resource(\"notes://{number}\")]`")
    })?;
    let options = OfferOptions::read(options, Kind::Resource)?;
    let (builder, accessor) = if uri::variables(&uri)?.is_empty() {
        ("Resource", "resource")
    } else {
        ("ResourceTemplate", "resource_template")
    };
    let form = Form { kind: Kind::Resource, builder, accessor, returns: "ResourceReturn" };
    Offered::read(form, Some(uri), options, item)?.expanded()
}

fn uri_first(input: ParseStream<'_>) -> Result<(LitStr, TokenStream)> {
    let uri = input.parse()?;
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok((uri, input.parse()?))
}

/// What is made of a function, and by which names.
struct Form {
    kind: Kind,
    /// The type that is made.
    builder: &'static str,
    /// The function that gives it; also the method of the server's builder.
    accessor: &'static str,
    /// The trait of what the function may return.
    returns: &'static str,
}

struct Offered {
    form: Form,
    /// Of a resource or a template.
    uri: Option<LitStr>,
    options: OfferOptions,
    function: ItemFn,
    callable: Callable,
    name: String,
    description: String,
}

impl Offered {
    fn read(form: Form, uri: Option<LitStr>, options: OfferOptions, item: TokenStream) -> Result<Self> {
        let kind = form.kind;
        let mut function: ItemFn = syn::parse2(item).map_err(|error| {
            let reason = format!("#[{}] stands on a function: `async fn name(..) -> ..`", kind.noun());
            Error::new(error.span(), reason)
        })?;
        if let Some(FnArg::Receiver(receiver)) = function.sig.inputs.first() {
            let reason =
                format!("a {} is a function of its own; take what it needs from `ctx.app()`", kind.noun());
            return Err(Error::new(receiver.span(), reason));
        }
        let callable = Callable::read(&mut function.sig, kind)?;
        if let Some(uri) = &uri {
            uri::check(uri, &uri::variables(uri)?, &callable.parameters.arguments)?;
        }
        let name = callable.name(options.name.as_ref());
        let description = callable.description(options.description.as_ref(), &function.attrs, kind)?;
        Ok(Self { form, uri, options, function, callable, name, description })
    }

    fn expanded(&self) -> Result<TokenStream> {
        let root = self.options.root();
        let state = self.state(&root);
        let made = self.expression(&state, &root);
        let function = &self.function;
        let (name, vis) = (&function.sig.ident, &function.vis);
        let (generic, state) = (state.generic(&root), state.ty());
        let conditions = conditions(&function.attrs);
        let (builder, accessor) = (ident(self.form.builder), ident(self.form.accessor));
        let noun = self.form.accessor.replace('_', " ");
        let doc = format!("Has the {noun} of the function `{name}`: `{name}::{accessor}()`.");
        let doc_of_accessor = format!("The {noun}.");
        Ok(quote! {
            #function

            #conditions
            #[doc = #doc]
            #[allow(non_camel_case_types)]
            #vis enum #name {}

            #conditions
            impl #name {
                #[doc = #doc_of_accessor]
                #vis fn #accessor<#generic>() -> #root::#builder<#state> {
                    #made
                }
            }
        })
    }

    /// The state of the sessions whose it is. Functions that complete have a context of some state, which nobody can ask them
    /// for; without a context of its own it is that of a server without state.
    fn state(&self, root: &TokenStream) -> State {
        let parameters = &self.callable.parameters;
        let completes = parameters.arguments.iter().any(|argument| argument.complete.is_some());
        match &parameters.context {
            None if completes => State::Nothing,
            context => State::new(context.as_ref(), self.form.kind, root),
        }
    }

    /// The expression that makes it.
    fn expression(&self, state: &State, root: &TokenStream) -> TokenStream {
        let Self { name, description, callable, .. } = self;
        let Callable { function, output, is_async, parameters } = callable;
        // Only arguments of prompts are shown to clients; variables are seen in the URI.
        let shown_as = self.uri.is_none().then_some(&**name);
        let Arguments { declarations, ty, parts } = Arguments::new(&parameters.arguments, shown_as, root);
        let called = callable.called(&parts, None);
        let called = if *is_async { quote!(#called.await) } else { called };
        let (generic, state_type) = (state.generic(root), state.ty());
        let returns = ident(self.form.returns);
        // Whoever returns what is no output is told there; whoever cannot be sent, at the function.
        let returned = quote_spanned!(output.span()=> <#output as #root::__private::#returns>);
        let future = quote_spanned!(function.span()=> async move { #returned::into_result(#called) });
        let send = quote_spanned! {function.span()=>
            impl ::core::future::Future<
                Output = ::core::result::Result<#returned::Output, #root::RequestError>
            > + ::core::marker::Send + '__a
        };
        let turbofish = generic.as_ref().map(|_| quote!(::<#state_type>));
        let builder = ident(self.form.builder);
        let uri = self.uri.iter();
        let completed = parameters.arguments.iter().filter_map(|argument| {
            let complete = argument.complete.as_ref()?;
            let name = argument.wire_name();
            Some(quote_spanned!(complete.span()=> .complete(#name, #complete)))
        });
        let made =
            quote!(#root::#builder::new(#(#uri,)* #name, #description, __call #turbofish) #(#completed)*);
        let made = self.options.apply(made);
        quote! {
            #declarations
            #[allow(unused_variables)]
            fn __call<'__a, #generic>(
                context: &'__a #root::RequestContext<#state_type>,
                arguments: #ty,
            ) -> #send {
                #future
            }
            #made
        }
    }
}

fn ident(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}

#[cfg(test)]
mod tests {
    use super::{prompt, resource};
    use crate::refusals::refused;

    #[test]
    fn what_is_no_prompt_is_refused_where_it_stands_with_what_to_do() {
        for (options, item, place, reason) in [
            (
                "",
                "async fn greet() {}",
                "greet",
                "people choose a prompt by what it does; write a doc comment",
            ),
            ("", "/// Greets.\nstruct Greet;", "struct", "#[prompt] stands on a function"),
            ("", "/// Greets.\nasync fn greet(&self) {}", "&self", "take what it needs from `ctx.app()`"),
            ("", "/// Greets.\nasync fn greet<T>(a: T) {}", "T", "a prompt has one form"),
            ("", "/// Greets.\nasync fn greet(a: &str) {}", "&str", "write `String`"),
            ("", "/// Greets.\nasync fn greet(a: &mut C) {}", "&mut C", "write `&RequestContext`"),
            ("", "/// Greets.\nasync fn greet(#[complete] a: A) {}", "#[complete]", "#[complete(cities)]"),
            (
                "",
                "/// Greets.\nasync fn greet(#[arguments] #[complete(f)] a: A) {}",
                "f",
                "belongs to one argument",
            ),
            ("mime_type = \"a/b\"", "/// Greets.\nfn greet() {}", "mime_type", "it has `name`, `title`"),
            ("icon", "/// Greets.\nfn greet() {}", "icon", "write `icon = Icon::new"),
            ("name = \"\"", "/// Greets.\nfn greet() {}", "\"\"", "is empty"),
        ] {
            refused(prompt, options, item, place, reason);
        }
    }

    #[test]
    fn what_is_no_resource_is_refused_where_it_stands_with_what_to_do() {
        const ONE: &str = "/// It.\nasync fn note(number: u32) {}";
        for (options, item, place, reason) in [
            ("name = \"x\"", ONE, "name", "say its URI first"),
            ("\"notes://{number}\" name", ONE, "name", "say its URI first"),
            ("\"notes\"", ONE, "\"notes\"", "begin with a scheme"),
            ("\"1:x\"", ONE, "\"1:x\"", "begin with a scheme"),
            ("\"notes://{number\"", ONE, "\"notes://{number\"", "has no partner"),
            ("\"notes://number}\"", ONE, "\"notes://number}\"", "has no partner"),
            ("\"notes://{number*}\"", ONE, "\"notes://{number*}\"", "beyond level 3"),
            ("\"notes://{num-ber}\"", ONE, "\"notes://{num-ber}\"", "letters, digits and underscores"),
            ("\"notes://{}\"", ONE, "\"notes://{}\"", "names no variable"),
            ("\"notes://{number}/{number}\"", ONE, "\"notes://{number}/{number}\"", "stands twice"),
            ("\"notes://all\"", ONE, "number", "write `{number}` in it"),
            ("\"notes://{id}\"", ONE, "number", "write `{number}` in it"),
            ("\"notes://{number}{?q}\"", ONE, "\"notes://{number}{?q}\"", "add `q: String`"),
            ("\"notes://{number}\", read_only", ONE, "read_only", "it has `name`, `title`"),
            ("\"notes://all\"", "async fn note() {}", "note", "people and models choose a resource"),
            ("\"notes://all\"", "/// It.\nstruct Note;", "struct", "#[resource] stands on a function"),
        ] {
            refused(resource, options, item, place, reason);
        }
    }

    #[test]
    fn variables_are_parameters_by_the_names_that_clients_know() {
        for (uri, parameters) in [
            ("\"notes://all\"", ""),
            ("\"notes://all\"", "ctx: &RequestContext"),
            ("\"notes://{a}/{+b}{?c,d}\"", "d: Option<u8>, a: String, ctx: &RequestContext, b: u8, c: u8"),
            ("\"notes://{type}\"", "r#type: String"),
            ("\"notes://{from}\"", "#[serde(rename = \"from\")] of: String"),
            ("\"notes://{a}/{b}\"", "#[arguments] both: Both"),
            ("\"notes://{a}/{b}\"", "a: u8, #[serde(flatten)] rest: Rest"),
        ] {
            let item = format!("/// It.\nasync fn note({parameters}) {{}}");
            let expanded = resource(uri.parse().expect("tokens"), item.parse().expect("tokens"));
            assert!(expanded.is_ok(), "{uri} {parameters}: {:?}", expanded.err());
        }
    }
}
