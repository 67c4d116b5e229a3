use crate::{limits::COMPLETION_VALUES, model::ServerMeta};
use serde::Serialize;

/// Values that fit what is there already, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Completion {
    /// The values. At most 100 are sent, the first ones.
    pub values: Vec<String>,
    /// How many there are altogether, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// Whether there are more than these.
    pub has_more: bool,
}

impl Completion {
    /// All the values there are; that there are more than can be sent, the client is told.
    #[must_use]
    pub fn new(values: Vec<String>) -> Self {
        Self { total: Some(values.len()), values, has_more: false }
    }

    /// Those of `values` that begin with `prefix`, in whatever case, in their order.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::Completion;
    ///
    /// assert_eq!(Completion::of_prefix(["paris", "Parma", "rome"], "par").values, ["paris", "Parma"]);
    /// ```
    #[must_use]
    pub fn of_prefix<T: AsRef<str>>(values: impl IntoIterator<Item = T>, prefix: &str) -> Self {
        let prefix = prefix.to_lowercase();
        let fits = |value: &T| value.as_ref().to_lowercase().starts_with(&prefix);
        Self::new(values.into_iter().filter(fits).map(|value| value.as_ref().to_owned()).collect())
    }

    /// Says that there are more values than these, of whom nobody has counted how many.
    #[must_use]
    pub fn and_more(mut self) -> Self {
        (self.total, self.has_more) = (None, true);
        self
    }

    /// Leaves out what the protocol does not let pass.
    pub(super) fn bounded(mut self) -> Self {
        if self.values.len() > COMPLETION_VALUES {
            self.values.truncate(COMPLETION_VALUES);
            self.has_more = true;
        }
        self
    }
}

/// What a completing function may return.
pub trait CompletionOutput {
    /// The answer.
    fn into_completion(self) -> Completion;
}

impl CompletionOutput for Completion {
    fn into_completion(self) -> Completion {
        self
    }
}

impl CompletionOutput for Vec<String> {
    fn into_completion(self) -> Completion {
        Completion::new(self)
    }
}

impl CompletionOutput for Vec<&'static str> {
    fn into_completion(self) -> Completion {
        Completion::new(self.into_iter().map(str::to_owned).collect())
    }
}

/// The answer as a revision writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    completion: Completion,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a ServerMeta>,
}

impl<'a> Wire<'a> {
    pub(super) fn new(completion: Completion, stateless: Option<&'a ServerMeta>) -> Self {
        Self { result_type: stateless.map(|_| "complete"), completion: completion.bounded(), meta: stateless }
    }
}

#[cfg(test)]
mod tests {
    use super::Completion;

    #[test]
    fn no_more_than_a_hundred_are_sent() {
        let values = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        for (count, sent, has_more) in [(100, 100, false), (101, 100, true)] {
            let bounded = Completion::new(values(count)).bounded();
            assert_eq!(
                (bounded.values.len(), bounded.total, bounded.has_more),
                (sent, Some(count), has_more)
            );
            assert_eq!(bounded.values[..], values(count)[..sent]);
        }
        let more = Completion::new(values(3)).and_more().bounded();
        assert_eq!((more.total, more.has_more), (None, true));
    }
}
