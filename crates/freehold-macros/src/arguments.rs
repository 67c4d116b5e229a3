//! The arguments of a tool: parameters of its function, as a struct that is read from JSON and has a schema.

use crate::docs;
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Error, Expr, Ident, LitStr, PatType, Result, Type, ext::IdentExt, spanned::Spanned};

/// One parameter of a function.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    ty: Type,
    /// Those that go to the field.
    attributes: Vec<Attribute>,
    /// Of `#[default(..)]`.
    default: Option<Expr>,
    /// Marked with `#[arguments]`: its type has all arguments in it.
    pub(crate) is_whole: bool,
}

impl Argument {
    pub(crate) fn new(name: Ident, parameter: &PatType) -> Result<Self> {
        let mut argument = Self {
            name,
            ty: (*parameter.ty).clone(),
            attributes: Vec::new(),
            default: None,
            is_whole: false,
        };
        for attribute in &parameter.attrs {
            argument.take(attribute)?;
        }
        Ok(argument)
    }

    fn take(&mut self, attribute: &Attribute) -> Result<()> {
        let path = attribute.path();
        if path.is_ident("arguments") {
            attribute.meta.require_path_only()?;
            self.is_whole = true;
        } else if path.is_ident("default") {
            let list = attribute.meta.require_list().map_err(|_| {
                Error::new(attribute.span(), "say what an absent argument is: `#[default(10)]`")
            })?;
            self.default = Some(list.parse_args()?);
        } else if ["doc", "serde", "schemars"].iter().any(|known| path.is_ident(known)) {
            self.attributes.push(attribute.clone());
        } else if path.is_ident("cfg") || path.is_ident("cfg_attr") {
            let reason = "an argument is always there; put the attribute on the function";
            return Err(Error::new(attribute.span(), reason));
        }
        Ok(())
    }

    fn is_flattened(&self) -> bool {
        let says_so = |attribute: &Attribute| {
            let mut flattened = false;
            // What cannot be read here, serde will complain of.
            let _ = attribute.parse_nested_meta(|meta| {
                flattened |= meta.path.is_ident("flatten");
                if let Ok(value) = meta.value() {
                    value.parse::<Expr>()?;
                }
                Ok(())
            });
            flattened
        };
        self.attributes.iter().filter(|attribute| attribute.path().is_ident("serde")).any(says_so)
    }

    fn default_function(&self) -> Ident {
        format_ident!("__default_{}", self.name.unraw())
    }

    /// The field, and the function of its default.
    fn field(&self) -> (TokenStream, Option<TokenStream>) {
        let Self { name, ty, attributes, .. } = self;
        let attributes = attributes.iter().filter(|attribute| !attribute.path().is_ident("doc"));
        let doc = docs::text(&self.attributes);
        let doc = (!doc.is_empty()).then(|| quote!(#[doc = #doc]));
        let default = self.default.as_ref().map(|value| {
            let function = self.default_function();
            quote_spanned!(value.span()=> fn #function() -> #ty { #value })
        });
        let with_default = self.default.as_ref().map(|_| {
            let function = self.default_function().to_string();
            quote!(#[serde(default = #function)])
        });
        let span = ty.span();
        let field = quote_spanned!(span=> #name: #ty);
        (quote!(#doc #(#attributes)* #with_default #field,), default)
    }
}

/// The type of all arguments, and how each parameter gets its part of it.
pub(crate) struct Arguments {
    /// What has to stand before.
    pub(crate) declarations: TokenStream,
    pub(crate) ty: TokenStream,
    /// Of the value `arguments`, the part of each parameter.
    pub(crate) parts: Vec<TokenStream>,
}

impl Arguments {
    /// Those of the tool `tool`. `root` is the path of `freehold-mcp`.
    pub(crate) fn new(arguments: &[Argument], tool: &str, root: &TokenStream) -> Self {
        match arguments {
            [] => Self { declarations: quote!(), ty: quote!(()), parts: Vec::new() },
            [whole] if whole.is_whole => {
                let ty = &whole.ty;
                Self { declarations: quote!(), ty: quote!(#ty), parts: vec![quote!(arguments)] }
            }
            several => Self::structure(several, tool, root),
        }
    }

    fn structure(arguments: &[Argument], tool: &str, root: &TokenStream) -> Self {
        let (fields, defaults): (Vec<_>, Vec<_>) = arguments.iter().map(Argument::field).unzip();
        let defaults = defaults.into_iter().flatten();
        // Serde cannot have both.
        let strict = (!arguments.iter().any(Argument::is_flattened)).then(|| quote!(deny_unknown_fields,));
        let path = |name: &str| {
            LitStr::new(&format!("{root}::__private::{name}").replace(' ', ""), Span::call_site())
        };
        let (serde, schemars) = (path("serde"), path("schemars"));
        let declarations = quote! {
            #(#defaults)*
            #[derive(#root::__private::serde::Deserialize, #root::__private::schemars::JsonSchema)]
            #[serde(crate = #serde, #strict)]
            #[schemars(crate = #schemars, rename = #tool)]
            #[allow(non_snake_case)]
            struct __Arguments { #(#fields)* }
        };
        let parts = arguments.iter().map(|argument| {
            let name = &argument.name;
            quote!(arguments.#name)
        });
        Self { declarations, ty: quote!(__Arguments), parts: parts.collect() }
    }
}
