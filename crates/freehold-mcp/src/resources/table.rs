use super::{
    resource::{Resource, RunRead, Shown},
    template::ResourceTemplate,
    uri_template::{UriTemplate, is_uri},
};
use crate::{
    cache::CacheHint,
    catalog::{Catalog, Listed, Snapshot},
    changes::{Announcer, Change},
    completion::Completers,
    limits,
    offer::{Offer, RegisterError, refused},
    text_arguments::TextArguments,
};
use freehold::{State, Subject};
use serde_json::{Value, json};
use std::{fmt, sync::Arc};

/// What resources and templates have in common.
pub(crate) struct Registered<S: State> {
    key: Arc<str>,
    pub(crate) subject: Arc<Subject<S>>,
    pub(crate) run: Arc<dyn RunRead<S>>,
    pub(crate) mime_type: Option<Arc<str>>,
    pub(crate) cache: Option<CacheHint>,
    shown: [Value; 2],
}

impl<S: State> Listed for Registered<S> {
    fn key(&self) -> &Arc<str> {
        &self.key
    }

    fn shown(&self) -> &[Value; 2] {
        &self.shown
    }
}

fn shown(member: &str, key: &str, shown: &Shown) -> [Value; 2] {
    let mut value = json!(shown);
    value[member] = json!(key);
    [value.clone(), value]
}

/// A template of the table.
pub(crate) struct TemplateEntry<S: State> {
    registered: Arc<Registered<S>>,
    pub(crate) template: UriTemplate,
    pub(crate) completers: Completers<S>,
}

impl<S: State> Listed for TemplateEntry<S> {
    fn key(&self) -> &Arc<str> {
        self.registered.key()
    }

    fn shown(&self) -> &[Value; 2] {
        self.registered.shown()
    }
}

fn resource_entry<S: State>(resource: Resource<S>) -> Result<Registered<S>, RegisterError> {
    let Resource { uri, shown: described, options, cache, run } = resource;
    if !is_uri(&uri) {
        return Err(RegisterError::InvalidUri(uri));
    }
    let key = Arc::<str>::from(uri);
    Ok(Registered {
        shown: shown("uri", &key, &described),
        subject: Arc::new(Subject::new(key.clone(), options)),
        run,
        mime_type: described.mime_type.map(Arc::from),
        cache,
        key,
    })
}

fn template_entry<S: State>(template: ResourceTemplate<S>) -> Result<TemplateEntry<S>, RegisterError> {
    let ResourceTemplate { template, shown: described, options, cache, completers, run } = template;
    let parsed = UriTemplate::parse(&template)?;
    let unknown = completers.keys().find(|name| parsed.variables().all(|variable| variable != *name));
    if let Some(argument) = unknown {
        return Err(RegisterError::NothingToComplete { argument: argument.clone(), of: template });
    }
    let key = Arc::<str>::from(template);
    let registered = Arc::new(Registered {
        shown: shown("uriTemplate", &key, &described),
        subject: Arc::new(Subject::new(key.clone(), options)),
        run,
        mime_type: described.mime_type.map(Arc::from),
        cache,
        key,
    });
    Ok(TemplateEntry { registered, template: parsed, completers })
}

/// The resources of a server, and the templates of their URIs. Adding and removing works at any time; clients that listen
/// are told.
pub struct ResourceTable<S: State> {
    pub(crate) resources: Catalog<Registered<S>>,
    pub(crate) templates: Catalog<TemplateEntry<S>>,
    offer: Offer,
    announcer: Announcer,
}

impl<S: State> ResourceTable<S> {
    pub(crate) fn new(
        resources: Vec<Resource<S>>,
        templates: Vec<ResourceTemplate<S>>,
        offer: Offer,
        announcer: Announcer,
    ) -> Result<Self, RegisterError> {
        let table = Self {
            resources: Catalog::new(usize::MAX),
            templates: Catalog::new(limits::TEMPLATES),
            offer,
            announcer,
        };
        let resources = resources.into_iter().map(resource_entry).collect::<Result<Vec<_>, _>>()?;
        table.resources.extend(resources).map_err(refused("resource"))?;
        let templates = templates.into_iter().map(template_entry).collect::<Result<Vec<_>, _>>()?;
        table.templates.extend(templates).map_err(refused("resource template"))?;
        Ok(table)
    }

    /// Whether there is a resource of this URI, or may be.
    pub(crate) fn knows(&self, uri: &str) -> bool {
        self.find(uri).is_some()
    }

    /// The resource of this URI, or the template that fits it best; with the URI's variables.
    pub(crate) fn find(&self, uri: &str) -> Option<(Arc<Registered<S>>, TextArguments)> {
        if let Some(resource) = self.resources.find(uri) {
            return Some((resource, TextArguments::new()));
        }
        let templates = self.templates.snapshot();
        let (entry, variables) = best_fit(&templates, uri)?;
        Some((entry.registered.clone(), variables))
    }

    /// The template that is called so, or the one that fits the URI best.
    pub(crate) fn find_template(&self, uri: &str) -> Option<Arc<TemplateEntry<S>>> {
        let templates = self.templates.snapshot();
        templates.get(uri).or_else(|| Some(best_fit(&templates, uri)?.0)).cloned()
    }

    /// Adds a resource and tells the clients that listen.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; nothing changes then.
    pub fn add(&self, resource: Resource<S>) -> Result<(), RegisterError> {
        self.offer.check()?;
        let entry = resource_entry(resource)?;
        let key = entry.key.clone();
        self.resources.insert(entry).map_err(|why| refused("resource")((why, key)))?;
        self.changed();
        Ok(())
    }

    /// Removes the resource of this URI and tells the clients that listen; whether there was one. Reads under way go on.
    pub fn remove(&self, uri: &str) -> bool {
        let existed = self.resources.remove(uri);
        if existed {
            self.changed();
        }
        existed
    }

    /// Adds a template and tells the clients that listen.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; nothing changes then.
    pub fn add_template(&self, template: ResourceTemplate<S>) -> Result<(), RegisterError> {
        self.offer.check()?;
        self.offer.check_completers(template.completes())?;
        let entry = template_entry(template)?;
        let key = entry.key().clone();
        self.templates.insert(entry).map_err(|why| refused("resource template")((why, key)))?;
        self.changed();
        Ok(())
    }

    /// Removes a template and tells the clients that listen; whether there was one. Reads under way go on.
    pub fn remove_template(&self, uri_template: &str) -> bool {
        let existed = self.templates.remove(uri_template);
        if existed {
            self.changed();
        }
        existed
    }

    /// Tells the clients that listen that the list of resources changed, or that of templates.
    pub fn changed(&self) {
        self.announcer.announce(Change::Resources);
    }

    /// Tells the clients that subscribed to the resource of this URI that its contents changed. Never waits for them.
    pub fn updated(&self, uri: &str) {
        self.announcer.announce(Change::Updated(uri.into()));
    }
}

/// The template that fits the URI and has the most outside of variables, and the URI's variables.
fn best_fit<'a, S: State>(
    templates: &'a Snapshot<TemplateEntry<S>>,
    uri: &str,
) -> Option<(&'a Arc<TemplateEntry<S>>, TextArguments)> {
    let mut best: Option<(&Arc<TemplateEntry<S>>, TextArguments)> = None;
    for entry in templates.entries() {
        let better = best.as_ref().is_none_or(|(best, _)| entry.template.literal() > best.template.literal());
        if better && let Some(variables) = entry.template.read(uri) {
            best = Some((entry, variables));
        }
    }
    best
}

impl<S: State> fmt::Debug for ResourceTable<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceTable")
            .field("resources", &self.resources)
            .field("templates", &self.templates)
            .finish()
    }
}
