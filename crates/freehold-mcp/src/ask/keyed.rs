use super::{AskError, Asked, Question, Respondent};
use serde_json::value::RawValue;

/// A question with a key; see [`Question::keyed`].
#[derive(Clone, Debug)]
pub struct Keyed<Q> {
    question: Q,
    key: String,
}

impl<Q> Keyed<Q> {
    pub(super) fn new(question: Q, key: String) -> Self {
        Self { question, key }
    }
}

impl<Q: Question> Question for Keyed<Q> {
    type Answer = Q::Answer;

    fn asked(&self, respondent: &Respondent) -> Result<Asked, AskError> {
        self.question.asked(respondent)
    }

    fn read(&self, answer: &RawValue) -> Result<Q::Answer, AskError> {
        self.question.read(answer)
    }

    fn own_key(&self) -> Option<&str> {
        Some(&self.key)
    }
}
