use super::prompt::{Prompt, RunPrompt, ShownArgument};
use crate::{
    catalog::{Catalog, Listed},
    changes::{Announcer, Change},
    completion::Completers,
    offer::{Offer, RegisterError, refused},
};
use freehold::{State, Subject};
use serde_json::{Value, json};
use std::{fmt, sync::Arc};

/// One prompt of the table.
pub(crate) struct Entry<S: State> {
    pub(crate) name: Arc<str>,
    pub(crate) subject: Arc<Subject<S>>,
    pub(crate) run: Arc<dyn RunPrompt<S>>,
    pub(crate) completers: Completers<S>,
    arguments: Vec<ShownArgument>,
    shown: [Value; 2],
}

impl<S: State> Entry<S> {
    pub(crate) fn has_argument(&self, name: &str) -> bool {
        self.arguments.iter().any(|argument| argument.name == name)
    }
}

impl<S: State> Listed for Entry<S> {
    fn key(&self) -> &Arc<str> {
        &self.name
    }

    fn shown(&self) -> &[Value; 2] {
        &self.shown
    }
}

/// The prompts of a server. Adding and removing works at any time; clients that listen are told.
pub struct PromptTable<S: State> {
    pub(crate) prompts: Catalog<Entry<S>>,
    offer: Offer,
    announcer: Announcer,
}

impl<S: State> PromptTable<S> {
    pub(crate) fn new(
        prompts: Vec<Prompt<S>>,
        offer: Offer,
        announcer: Announcer,
    ) -> Result<Self, RegisterError> {
        let table = Self { prompts: Catalog::new(usize::MAX), offer, announcer };
        let entries = prompts.into_iter().map(entry_of).collect::<Result<Vec<_>, _>>()?;
        table.prompts.extend(entries).map_err(refused("prompt"))?;
        Ok(table)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Entry<S>>> {
        self.prompts.find(name)
    }

    /// Adds a prompt and tells the clients that listen.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; nothing changes then.
    pub fn add(&self, prompt: Prompt<S>) -> Result<(), RegisterError> {
        self.offer.check()?;
        self.offer.check_completers(prompt.completes())?;
        let entry = entry_of(prompt)?;
        let name = entry.name.clone();
        self.prompts.insert(entry).map_err(|why| refused("prompt")((why, name)))?;
        self.changed();
        Ok(())
    }

    /// Removes a prompt and tells the clients that listen; whether there was one. Those under way go on.
    pub fn remove(&self, name: &str) -> bool {
        let existed = self.prompts.remove(name);
        if existed {
            self.changed();
        }
        existed
    }

    /// Tells the clients that listen that the list changed.
    pub fn changed(&self) {
        self.announcer.announce(Change::Prompts);
    }
}

impl<S: State> fmt::Debug for PromptTable<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prompts.fmt(f)
    }
}

fn entry_of<S: State>(prompt: Prompt<S>) -> Result<Entry<S>, RegisterError> {
    let shown = show(&prompt);
    let Prompt { name, arguments, options, completers, run, .. } = prompt;
    let unknown = completers.keys().find(|name| arguments.iter().all(|argument| argument.name != **name));
    if let Some(argument) = unknown {
        return Err(RegisterError::NothingToComplete { argument: argument.clone(), of: name });
    }
    let name = Arc::<str>::from(name);
    let subject = Arc::new(Subject::new(name.clone(), options));
    Ok(Entry { name, subject, run, completers, arguments, shown: [shown.clone(), shown] })
}

fn show<S: State>(prompt: &Prompt<S>) -> Value {
    let mut shown = json!({ "name": prompt.name, "description": prompt.description });
    if let Some(title) = &prompt.title {
        shown["title"] = json!(title);
    }
    if !prompt.arguments.is_empty() {
        shown["arguments"] = json!(prompt.arguments);
    }
    if !prompt.icons.is_empty() {
        shown["icons"] = json!(prompt.icons);
    }
    shown
}
