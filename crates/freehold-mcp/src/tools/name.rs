//! The rule for names of tools.

use crate::limits::TOOL_NAME_LONGEST;

/// A name that a tool cannot have: revision 2025-11-25 gives the rule, and clients refuse others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name for a tool: it has 1 to {TOOL_NAME_LONGEST} characters of A-Z, a-z, 0-9, `_`, `-` and `.`"
)]
pub struct InvalidToolName(pub String);

pub(crate) fn check(name: &str) -> Result<(), InvalidToolName> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if (1..=TOOL_NAME_LONGEST).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(InvalidToolName(name.chars().take(2 * TOOL_NAME_LONGEST).collect()))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_keep_the_rule_of_the_protocol() {
        let longest = "n".repeat(128);
        for name in ["getUser", "DATA_EXPORT_v2", "admin.tools.list", "a-b", "7", &longest] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in ["", "two words", "a,b", "a/b", "ä", "a\n", &format!("{longest}n")] {
            assert!(check(name).is_err(), "{name:?}");
        }
    }
}
