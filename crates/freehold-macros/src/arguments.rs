//! Arguments: parameters of a function, as a struct that is read from what a client sends, and may have a schema.

use crate::{docs, kind::Kind};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Attribute, Error, Expr, ExprLit, Ident, Lit, LitStr, PatType, Path, Result, Type, ext::IdentExt,
    spanned::Spanned,
};

/// One parameter of a function.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    ty: Type,
    /// Those that go to the field.
    attributes: Vec<Attribute>,
    /// Of `#[default(..)]`.
    default: Option<Expr>,
    /// Of `#[complete(..)]`.
    pub(crate) complete: Option<Expr>,
    /// Marked with `#[arguments]`: its type has all arguments in it.
    pub(crate) is_whole: bool,
}

impl Argument {
    pub(crate) fn new(name: Ident, parameter: &PatType, kind: Kind) -> Result<Self> {
        let mut argument = Self {
            name,
            ty: (*parameter.ty).clone(),
            attributes: Vec::new(),
            default: None,
            complete: None,
            is_whole: false,
        };
        for attribute in &parameter.attrs {
            argument.take(attribute, kind)?;
        }
        match &argument.complete {
            Some(complete) if argument.is_whole => {
                let reason =
                    "#[complete] belongs to one argument; say it of what is made: `.complete(\"name\", ..)`";
                Err(Error::new(complete.span(), reason))
            }
            _ => Ok(argument),
        }
    }

    fn take(&mut self, attribute: &Attribute, kind: Kind) -> Result<()> {
        let path = attribute.path();
        if path.is_ident("arguments") {
            attribute.meta.require_path_only()?;
            self.is_whole = true;
        } else if path.is_ident("default") {
            let list = attribute.meta.require_list().map_err(|_| {
                Error::new(attribute.span(), "say what an absent argument is: `#[default(10)]`")
            })?;
            self.default = Some(list.parse_args()?);
        } else if path.is_ident("complete") {
            if matches!(kind, Kind::Tool) {
                let reason =
                    "clients complete arguments of prompts and resources only; leave #[complete] out";
                return Err(Error::new(attribute.span(), reason));
            }
            let list = attribute.meta.require_list().map_err(|_| {
                Error::new(attribute.span(), "say which function completes it: `#[complete(cities)]`")
            })?;
            self.complete = Some(list.parse_args()?);
        } else if ["doc", "serde", "schemars"].iter().any(|known| path.is_ident(known)) {
            self.attributes.push(attribute.clone());
        } else if path.is_ident("cfg") || path.is_ident("cfg_attr") {
            let reason = "an argument is always there; put the attribute on the function";
            return Err(Error::new(attribute.span(), reason));
        }
        Ok(())
    }

    pub(crate) fn is_flattened(&self) -> bool {
        let mut flattened = false;
        self.each_serde_option(|name, _| flattened |= name.is_ident("flatten"));
        flattened
    }

    /// Its name for clients.
    pub(crate) fn wire_name(&self) -> String {
        let mut name = self.name.unraw().to_string();
        self.each_serde_option(|option, value| {
            if let (true, Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. }))) =
                (option.is_ident("rename"), value)
            {
                name = text.value();
            }
        });
        name
    }

    fn each_serde_option(&self, mut see: impl FnMut(&Path, Option<&Expr>)) {
        for attribute in self.attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            // What cannot be read here, serde will complain of.
            let _ = attribute.parse_nested_meta(|meta| {
                let value = match meta.value() {
                    Ok(value) => Some(value.parse::<Expr>()?),
                    Err(_) => None,
                };
                see(&meta.path, value.as_ref());
                Ok(())
            });
        }
    }

    fn default_function(&self) -> Ident {
        format_ident!("__default_{}", self.name.unraw())
    }

    /// The field, and the function of its default.
    fn field(&self, has_schema: bool) -> (TokenStream, Option<TokenStream>) {
        let Self { name, ty, attributes, .. } = self;
        let kept = |path: &Path| path.is_ident("serde") || (has_schema && path.is_ident("schemars"));
        let attributes = attributes.iter().filter(|attribute| kept(attribute.path()));
        let doc = docs::text(&self.attributes);
        let doc = (has_schema && !doc.is_empty()).then(|| quote!(#[doc = #doc]));
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
    /// Those of what is called `owner`, for clients that see the schema if there is such a name. `root` is the path of
    /// `freehold-mcp`.
    pub(crate) fn new(arguments: &[Argument], owner: Option<&str>, root: &TokenStream) -> Self {
        match arguments {
            [] => Self { declarations: quote!(), ty: quote!(()), parts: Vec::new() },
            [whole] if whole.is_whole => {
                let ty = &whole.ty;
                Self { declarations: quote!(), ty: quote!(#ty), parts: vec![quote!(arguments)] }
            }
            several => Self::structure(several, owner, root),
        }
    }

    fn structure(arguments: &[Argument], owner: Option<&str>, root: &TokenStream) -> Self {
        let (fields, defaults): (Vec<_>, Vec<_>) =
            arguments.iter().map(|argument| argument.field(owner.is_some())).unzip();
        let defaults = defaults.into_iter().flatten();
        // Serde cannot have both.
        let strict = (!arguments.iter().any(Argument::is_flattened)).then(|| quote!(deny_unknown_fields,));
        let path = |name: &str| {
            LitStr::new(&format!("{root}::__private::{name}").replace(' ', ""), Span::call_site())
        };
        let (serde, schemars) = (path("serde"), path("schemars"));
        let schema = owner.map(|owner| {
            quote! {
                #[derive(#root::__private::schemars::JsonSchema)]
                #[schemars(crate = #schemars, rename = #owner)]
            }
        });
        let declarations = quote! {
            #(#defaults)*
            #[derive(#root::__private::serde::Deserialize)]
            #[serde(crate = #serde, #strict)]
            #schema
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
