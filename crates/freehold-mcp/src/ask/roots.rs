use super::{AskError, Asked, Capability, Question, Respondent};
use crate::{protocol::method, server::McpServerBuilder};
use freehold::{Session, State};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

/// `roots/list`: which directories or files of the client's the server may work on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListRoots;

/// A root of the client's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Root {
    /// Where it is; a `file://` URI so far.
    pub uri: String,
    /// A name for people.
    pub name: Option<String>,
}

impl Question for ListRoots {
    type Answer = Vec<Root>;

    fn asked(&self, respondent: &Respondent) -> Result<Asked, AskError> {
        respondent.require(Capability::Roots)?;
        Ok(Asked { method: method::LIST_ROOTS, kind: "roots", params: Value::Object(Map::new()) })
    }

    fn read(&self, answer: &RawValue) -> Result<Vec<Root>, AskError> {
        #[derive(Deserialize)]
        struct Listed {
            roots: Vec<Root>,
        }
        let listed: Listed =
            serde_json::from_str(answer.get()).map_err(|error| AskError::Unfit(error.to_string()))?;
        Ok(listed.roots)
    }
}

impl<S: State> McpServerBuilder<S> {
    /// Sets what is called when a client says that its roots changed (`notifications/roots/list_changed`): whoever keeps
    /// them should ask for them again, in the next call of that session. To be set once.
    pub fn on_roots_changed(self, hook: impl Fn(&Session<S>) + Send + Sync + 'static) -> Self {
        self.engine(|engine| {
            engine.control(method::ROOTS_CHANGED, move |session, _params| {
                hook(session);
                Ok(())
            })
        })
    }
}
