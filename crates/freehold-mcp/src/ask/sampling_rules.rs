//! What the protocol demands of a conversation with tools.

use super::{SamplingContent, SamplingMessage};
use crate::model::Role;
use std::collections::BTreeSet;

fn uses(message: &SamplingMessage) -> BTreeSet<&str> {
    let uses = message.content.iter().filter_map(|content| match content {
        SamplingContent::ToolUse { id, .. } => Some(id.as_str()),
        _ => None,
    });
    uses.collect()
}

fn results(message: &SamplingMessage) -> Vec<&str> {
    let results = message.content.iter().filter_map(|content| match content {
        SamplingContent::ToolResult { tool_use_id, .. } => Some(tool_use_id.as_str()),
        _ => None,
    });
    results.collect()
}

/// Checks a conversation; if it breaks a rule, says which.
pub(super) fn check(messages: &[SamplingMessage], max_tokens: u32) -> Result<(), &'static str> {
    if messages.is_empty() {
        return Err("there is no message to answer");
    }
    if max_tokens == 0 {
        return Err("maxTokens must be at least one");
    }
    let mut open = BTreeSet::new();
    for message in messages {
        if message.content.is_empty() {
            return Err("a message without content");
        }
        let (uses, results) = (uses(message), results(message));
        if !uses.is_empty() && message.role == Role::User {
            return Err("only the assistant uses tools");
        }
        if !results.is_empty() && message.role == Role::Assistant {
            return Err("only the user gives the results of tools");
        }
        if !results.is_empty() && results.len() != message.content.len() {
            return Err("a message with results of tools has nothing else in it");
        }
        let given: BTreeSet<_> = results.iter().copied().collect();
        if given.len() != results.len() || given != open {
            return Err("each use of a tool needs its result in the very next message, and no other result");
        }
        open = uses;
    }
    if open.is_empty() { Ok(()) } else { Err("the last message uses tools whose results are missing") }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::ask::{SamplingContent, SamplingMessage};
    use crate::model::Role;
    use serde_json::Map;

    fn uses(ids: &[&str]) -> SamplingMessage {
        let content = ids.iter().map(|id| SamplingContent::ToolUse {
            id: (*id).to_owned(),
            name: "t".to_owned(),
            input: Map::new(),
        });
        SamplingMessage { role: Role::Assistant, content: content.collect() }
    }

    fn results(ids: &[&str]) -> SamplingMessage {
        SamplingMessage::tool_results(ids.iter().map(|id| SamplingContent::tool_result(*id, "r")).collect())
    }

    #[test]
    fn rules_of_tools() {
        let hello = || SamplingMessage::user("hello");
        let mixed = {
            let mut mixed = results(&["a"]);
            mixed.content.insert(0, "and".into());
            mixed
        };
        let by_the_model = SamplingMessage { role: Role::Assistant, ..results(&["a"]) };
        let by_the_user = SamplingMessage { role: Role::User, ..uses(&["a"]) };
        for (messages, fits) in [
            (vec![hello()], true),
            (vec![hello(), SamplingMessage::assistant("hi"), hello()], true),
            (vec![hello(), uses(&["a", "b"]), results(&["b", "a"])], true),
            (vec![hello(), uses(&["a"]), results(&["a"]), uses(&["b"]), results(&["b"])], true),
            (vec![hello(), uses(&["a", "b"]), results(&["a"])], false),
            (vec![hello(), uses(&["a"]), results(&["a", "a"])], false),
            (vec![hello(), uses(&["a"]), results(&["b"])], false),
            (vec![hello(), uses(&["a"]), hello()], false),
            (vec![hello(), uses(&["a"]), SamplingMessage::assistant("so"), results(&["a"])], false),
            (vec![hello(), uses(&["a"])], false),
            (vec![hello(), results(&["a"])], false),
            (vec![hello(), uses(&["a"]), mixed], false),
            (vec![hello(), uses(&["a"]), by_the_model], false),
            (vec![by_the_user, results(&["a"])], false),
            (vec![], false),
            (vec![results(&[])], false),
        ] {
            assert_eq!(check(&messages, 1).is_ok(), fits, "{messages:?}");
        }
        assert!(check(&[hello()], 0).is_err());
    }
}
