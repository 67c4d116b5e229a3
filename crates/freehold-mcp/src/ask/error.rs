use super::{Capability, NotAccepted, UrlElicitationRequired};
use crate::protocol::missing_capability;
use freehold::{ErrorCode, ErrorObject, QuestionError};

/// A question to the client failed.
///
/// By `?` it becomes a [`ToolError`](crate::ToolError) or an [`ErrorObject`]: a missing capability in a stateless request
/// and an answer that does not fit become errors of the protocol, the rest are failures that the model reads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The client did not declare that it can answer such questions.
    #[error("the client did not declare the capability {capability:?}", capability = capability.as_str())]
    NotCapable {
        /// What is missing.
        capability: Capability,
        /// Whether the request is of a revision that has an error code of its own for it.
        stateless: bool,
    },
    /// Such a question does not exist, or cannot be put in this form, in the revision that the client speaks.
    #[error("the client's revision of the protocol cannot be asked this: {0}")]
    NotInRevision(&'static str),
    /// The question breaks a rule of the protocol.
    #[error("the question cannot be asked: {0}")]
    Invalid(String),
    /// The answer does not fit the question.
    #[error("the client's answer does not fit the question: {0}")]
    Unfit(String),
    /// This request is none that can be answered by a question.
    #[error("a question cannot be asked here: only tools, prompts and the reading of resources may ask")]
    NotHere,
    /// A tool that the handler of a stateless request called asks. The answer would come with the request's next round, which
    /// runs another call.
    #[error(
        "a tool that a stateless request's handler calls cannot ask the client: ask in that handler, and pass the answer on as an argument"
    )]
    InNestedCall,
    /// The question was made before the call became a task: its answer would come with the request's next round, which a
    /// task does not have.
    #[error(
        "this question was asked before the call became a task, whose client cannot answer it any more: wait for the answer first, or ask afterwards"
    )]
    BeforeTask,
    /// The request was sent again too often.
    #[error("the request has asked its client {rounds} times already; begin it anew")]
    TooManyRounds {
        /// How often.
        rounds: u32,
    },
    /// Something has to be done at a URL first.
    #[error(transparent)]
    UrlRequired(UrlElicitationRequired),
    /// The person does not want to.
    #[error(transparent)]
    NotAccepted(NotAccepted),
    /// It was asked, without success.
    #[error(transparent)]
    Question(#[from] QuestionError),
}

impl AskError {
    /// The error of the protocol, if it is one rather than something for the model to read.
    pub(crate) fn protocol(&self) -> Option<ErrorObject> {
        match self {
            Self::NotCapable { capability, stateless: true } => Some(missing_capability(*capability)),
            Self::UrlRequired(required) => required.protocol(),
            Self::Unfit(_) => Some(ErrorObject::new(ErrorCode::INVALID_PARAMS, self.to_string())),
            _ => None,
        }
    }
}

impl From<AskError> for ErrorObject {
    fn from(error: AskError) -> Self {
        if let Some(error) = error.protocol() {
            return error;
        }
        match error {
            AskError::Question(error) => error.into(),
            other => Self::new(ErrorCode::QUESTION_FAILED, other.to_string()),
        }
    }
}
