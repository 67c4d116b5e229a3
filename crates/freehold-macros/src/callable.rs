//! A function or method, and how it is called.

use crate::{
    docs,
    kind::Kind,
    signature::{self, Parameter, Parameters},
};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Attribute, Error, LitStr, Result, Signature, Type, ext::IdentExt};

pub(crate) struct Callable {
    pub(crate) function: Ident,
    pub(crate) is_async: bool,
    pub(crate) parameters: Parameters,
    /// The type that it returns.
    pub(crate) output: TokenStream,
}

impl Callable {
    /// Reads a function, and takes away from it what only the attribute understands.
    pub(crate) fn read(signature: &mut Signature, kind: Kind) -> Result<Self> {
        let parameters = signature::read(signature, kind)?;
        Ok(Self {
            function: signature.ident.clone(),
            is_async: signature.asyncness.is_some(),
            parameters,
            output: signature::output(signature),
        })
    }

    /// What clients know it by.
    pub(crate) fn name(&self, given: Option<&LitStr>) -> String {
        given.map_or_else(|| self.function.unraw().to_string(), LitStr::value)
    }

    /// What clients are told of it.
    pub(crate) fn description(
        &self,
        given: Option<&LitStr>,
        attributes: &[Attribute],
        kind: Kind,
    ) -> Result<String> {
        let description = given.map_or_else(|| docs::text(attributes), LitStr::value);
        if description.is_empty() {
            return Err(Error::new(self.function.span(), kind.undescribed()));
        }
        Ok(description)
    }

    /// The call, of `context`, of the parts of `arguments`, and of `receiver` if it is a method of that type.
    pub(crate) fn called(&self, parts: &[TokenStream], receiver: Option<&Type>) -> TokenStream {
        let function = &self.function;
        let order = self.parameters.order.iter().map(|parameter| match parameter {
            Parameter::Context => quote!(context),
            Parameter::Argument(index) => parts[*index].clone(),
        });
        match receiver {
            Some(receiver) => quote!(<#receiver>::#function(receiver, #(#order),*)),
            None => quote!(#function(#(#order),*)),
        }
    }
}
