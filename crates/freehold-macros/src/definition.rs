//! The expression that makes a tool of a function or a method.

use crate::{arguments::Arguments, callable::Callable, kind::Kind, tool_name, tool_options::ToolOptions};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, Result, Signature, Type, spanned::Spanned};

/// A tool about to be made.
pub(crate) struct Definition {
    pub(crate) options: ToolOptions,
    name: String,
    description: String,
    callable: Callable,
}

impl Definition {
    /// Reads a function, and takes away from it what only the attribute understands.
    pub(crate) fn read(
        options: ToolOptions,
        attributes: &[Attribute],
        signature: &mut Signature,
    ) -> Result<Self> {
        let callable = Callable::read(signature, Kind::Tool)?;
        let name = callable.name(options.name.as_ref());
        tool_name::check(&name, callable.function.span())?;
        let description = callable.description(options.description.as_ref(), attributes, Kind::Tool)?;
        Ok(Self { options, name, description, callable })
    }

    /// The type behind the `&` of the context, if it has one.
    pub(crate) fn context(&self) -> Option<&Type> {
        self.callable.parameters.context.as_ref()
    }

    /// The expression, for a server whose sessions have the state `state`. `receiver` is the type of `self`, which is then
    /// an `Arc` of it.
    pub(crate) fn expression(
        &self,
        state: &State,
        receiver: Option<&Type>,
        root: &TokenStream,
    ) -> TokenStream {
        let Self { name, description, callable, .. } = self;
        let Callable { function, output, is_async, parameters } = callable;
        let Arguments { declarations, ty, parts } = Arguments::new(&parameters.arguments, Some(name), root);
        let called = callable.called(&parts, receiver);
        let future = if *is_async { called } else { quote!(async move { #called }) };
        let receiver_parameter = receiver.map(|receiver| quote!(receiver: &'__a #receiver,));
        let generic = state.generic(root);
        let state_type = state.ty();
        let send = quote_spanned!(function.span()=> impl ::core::future::Future<Output = #output> + ::core::marker::Send + '__a);
        // Whoever returns what is no output is told there.
        let handler = quote_spanned!(output.span()=> __call);
        let turbofish = generic.as_ref().map(|_| quote!(::<#state_type>));
        let made = match receiver {
            Some(_) => quote!(#root::Tool::method(
                #name, #description, ::std::sync::Arc::clone(self), #handler #turbofish
            )),
            None => quote!(#root::Tool::new(#name, #description, #handler #turbofish)),
        };
        let made = self.options.apply(made);
        quote! {
            #declarations
            #[allow(unused_variables)]
            fn __call<'__a, #generic>(
                #receiver_parameter
                context: &'__a #root::ToolContext<#state_type>,
                arguments: #ty,
            ) -> #send {
                #future
            }
            #made
        }
    }
}

/// The state of the sessions of the server that gets what is made.
pub(crate) enum State {
    /// As the context of one of them says.
    Of(TokenStream),
    /// None of them asks for it.
    Any,
    /// There is none.
    Nothing,
}

impl State {
    pub(crate) fn new(context: Option<&Type>, kind: Kind, root: &TokenStream) -> Self {
        let has_state = kind.context_trait();
        match context {
            Some(context) => {
                Self::Of(quote_spanned!(context.span()=> <#context as #root::__private::#has_state>::State))
            }
            None => Self::Any,
        }
    }

    pub(crate) fn ty(&self) -> TokenStream {
        match self {
            Self::Of(ty) => ty.clone(),
            Self::Any => quote!(__S),
            Self::Nothing => quote!(()),
        }
    }

    /// The parameter that it needs.
    pub(crate) fn generic(&self, root: &TokenStream) -> Option<TokenStream> {
        matches!(self, Self::Any).then(|| quote!(__S: #root::freehold::State))
    }
}

/// The attributes by which the item may not be there at all.
pub(crate) fn conditions(attributes: &[Attribute]) -> TokenStream {
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.map(ToTokens::to_token_stream).collect()
}
