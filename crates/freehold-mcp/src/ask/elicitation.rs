use super::AskError;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

/// What a person did with what they were shown.
///
/// Closed: the protocol has these three, and a tool has to know what each means to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elicited<T> {
    /// They agreed; of a form, with what they filled in.
    Accept(T),
    /// They said no.
    Decline,
    /// They went away without an answer.
    Cancel,
}

/// A person declined or dismissed what they were asked, and the handler cannot go on without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAccepted {
    /// They said no.
    #[error("the user declined to answer")]
    Declined,
    /// They went away without an answer.
    #[error("the user dismissed the question")]
    Cancelled,
}

impl<T> Elicited<T> {
    /// What was accepted, if it was.
    pub fn accepted(self) -> Option<T> {
        self.into_accepted().ok()
    }

    /// What was accepted.
    ///
    /// # Errors
    ///
    /// [`NotAccepted`], which a tool may return as it is.
    pub fn into_accepted(self) -> Result<T, NotAccepted> {
        match self {
            Self::Accept(answer) => Ok(answer),
            Self::Decline => Err(NotAccepted::Declined),
            Self::Cancel => Err(NotAccepted::Cancelled),
        }
    }

    pub(super) fn try_map<U>(
        self,
        map: impl FnOnce(T) -> Result<U, AskError>,
    ) -> Result<Elicited<U>, AskError> {
        Ok(match self {
            Self::Accept(answer) => Elicited::Accept(map(answer)?),
            Self::Decline => Elicited::Decline,
            Self::Cancel => Elicited::Cancel,
        })
    }

    /// The action, as the protocol writes it.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accept",
            Self::Decline => "decline",
            Self::Cancel => "cancel",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Accept,
    Decline,
    Cancel,
}

#[derive(Deserialize)]
struct Answer {
    action: Action,
    content: Option<Map<String, Value>>,
}

/// Reads the answer to a form or a URL. Content counts only beside `accept`.
pub(super) fn read(answer: &RawValue) -> Result<Elicited<Option<Map<String, Value>>>, AskError> {
    let answer: Answer =
        serde_json::from_str(answer.get()).map_err(|error| AskError::Unfit(error.to_string()))?;
    Ok(match answer.action {
        Action::Accept => Elicited::Accept(answer.content),
        Action::Decline => Elicited::Decline,
        Action::Cancel => Elicited::Cancel,
    })
}
