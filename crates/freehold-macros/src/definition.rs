//! The expression that makes a tool of a function or a method.

use crate::{
    arguments::Arguments,
    docs,
    signature::{self, Parameter, Parameters},
    tool_name,
    tool_options::ToolOptions,
};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, Error, Result, Signature, Type, ext::IdentExt, spanned::Spanned};

/// A tool about to be made.
pub(crate) struct Definition {
    pub(crate) options: ToolOptions,
    function: Ident,
    is_async: bool,
    name: String,
    description: String,
    parameters: Parameters,
    output: TokenStream,
}

impl Definition {
    /// Reads a function, and takes away from it what only the attribute understands.
    pub(crate) fn read(
        options: ToolOptions,
        attributes: &[Attribute],
        signature: &mut Signature,
    ) -> Result<Self> {
        let parameters = signature::read(signature)?;
        let function = signature.ident.clone();
        let name = match &options.name {
            Some(name) => name.value(),
            None => function.unraw().to_string(),
        };
        tool_name::check(&name, function.span())?;
        let description = match &options.description {
            Some(description) => description.value(),
            None => docs::text(attributes),
        };
        if description.is_empty() {
            return Err(Error::new(
                function.span(),
                "models read what a tool does; write a doc comment (`/// ...`) above it, or `description = \"...\"`",
            ));
        }
        Ok(Self {
            options,
            function,
            is_async: signature.asyncness.is_some(),
            name,
            description,
            parameters,
            output: signature::output(signature),
        })
    }

    /// The type behind the `&` of the context, if it has one.
    pub(crate) fn context(&self) -> Option<&Type> {
        self.parameters.context.as_ref()
    }

    /// The expression, for a server whose sessions have the state `state`. `receiver` is the type of `self`, which is then
    /// an `Arc` of it.
    pub(crate) fn expression(
        &self,
        state: &State,
        receiver: Option<&Type>,
        root: &TokenStream,
    ) -> TokenStream {
        let Self { function, name, description, output, .. } = self;
        let Arguments { declarations, ty, parts } = Arguments::new(&self.parameters.arguments, name, root);
        let order = self.parameters.order.iter().map(|parameter| match parameter {
            Parameter::Context => quote!(context),
            Parameter::Argument(index) => parts[*index].clone(),
        });
        let called = match receiver {
            Some(receiver) => quote!(<#receiver>::#function(receiver, #(#order),*)),
            None => quote!(#function(#(#order),*)),
        };
        let future = if self.is_async { called } else { quote!(async move { #called }) };
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

/// The state of the sessions of the server that gets the tools.
pub(crate) enum State {
    /// As the context of one of them says.
    Of(TokenStream),
    /// None of them asks for it.
    Any,
}

impl State {
    pub(crate) fn new(context: Option<&Type>, root: &TokenStream) -> Self {
        match context {
            Some(context) => Self::Of(
                quote_spanned!(context.span()=> <#context as #root::__private::ContextOfTool>::State),
            ),
            None => Self::Any,
        }
    }

    pub(crate) fn ty(&self) -> TokenStream {
        match self {
            Self::Of(ty) => ty.clone(),
            Self::Any => quote!(__S),
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
