//! What a doc comment says.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The text of all doc comments, line by line, without the blank that follows `///`.
pub(crate) fn text(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(line).collect();
    let lines: Vec<&str> = lines.iter().flat_map(|text| text.lines()).collect();
    let lines: Vec<&str> = lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_owned()
}

fn line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    if !pair.path.is_ident("doc") {
        return None;
    }
    match &pair.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            Some(if text.value().is_empty() { "\n".to_owned() } else { text.value() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use syn::{ItemFn, parse_quote};

    #[test]
    fn doc_comments_are_read_as_they_are_written() {
        let item: ItemFn = parse_quote! {
            /// Adds.
            ///
            ///   * indented
            #[inline]
            /** And
                more. */
            fn add() {}
        };
        assert_eq!(text(&item.attrs), "Adds.\n\n  * indented\nAnd\n               more.");
    }
}
