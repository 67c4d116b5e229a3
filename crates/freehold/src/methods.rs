//! The table of methods: built once, then only read.

use crate::{
    handler::{Method, MethodKind, MethodOptions},
    hash::Hashing,
    recovery::Treatment,
    state::State,
};
use std::{collections::HashMap, sync::Arc};

pub(crate) struct Methods<S: State> {
    list: Vec<Method<S>>,
    by_name: HashMap<Arc<str>, usize, Hashing>,
}

impl<S: State> Methods<S> {
    /// The table, or the first name that stands twice.
    pub(crate) fn new(list: Vec<Method<S>>) -> Result<Self, Arc<str>> {
        let mut by_name = HashMap::with_capacity_and_hasher(list.len(), Hashing::default());
        for (index, method) in list.iter().enumerate() {
            if by_name.insert(method.name.clone(), index).is_some() {
                return Err(method.name.clone());
            }
        }
        Ok(Self { list, by_name })
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn name(&self, index: usize) -> &str {
        &self.list[index].name
    }

    /// The name, for who keeps it.
    pub(crate) fn shared_name(&self, index: usize) -> Arc<str> {
        self.list[index].name.clone()
    }

    pub(crate) fn options(&self, index: usize) -> &MethodOptions {
        &self.list[index].options
    }

    pub(crate) fn treatment(&self, index: usize) -> &Treatment<S> {
        &self.list[index].treatment
    }

    pub(crate) fn all(&self) -> &[Method<S>] {
        &self.list
    }

    pub(crate) fn all_options(&self) -> impl Iterator<Item = &MethodOptions> {
        self.list.iter().map(|method| &method.options)
    }

    pub(crate) fn kind(&self, index: usize) -> &MethodKind<S> {
        &self.list[index].kind
    }
}
