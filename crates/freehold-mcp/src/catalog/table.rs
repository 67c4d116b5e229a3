use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use serde_json::{Value, value::RawValue};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::Bound,
    sync::{Arc, OnceLock},
};

/// An entry of a [`Catalog`].
pub(crate) trait Listed: Send + Sync + 'static {
    /// What it is found by, and where it stands in the list.
    fn key(&self) -> &Arc<str>;
    /// As the list shows it in revisions with sessions, and in stateless ones.
    fn shown(&self) -> &[Value; 2];
}

/// What is in a catalog at one time.
pub(crate) struct Snapshot<E> {
    by_key: HashMap<Arc<str>, Arc<E>, RandomState>,
    /// In the order of their keys, the same at each listing.
    ordered: BTreeMap<Arc<str>, Arc<E>>,
    /// The first page of both eras, which is nearly always the whole list.
    pub(super) first_page: [OnceLock<Box<RawValue>>; 2],
}

impl<E: Listed> Snapshot<E> {
    fn new(ordered: BTreeMap<Arc<str>, Arc<E>>) -> Self {
        let by_key = ordered.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        Self { by_key, ordered, first_page: [OnceLock::new(), OnceLock::new()] }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Arc<E>> {
        self.by_key.get(key)
    }

    /// All entries, in their order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<E>> {
        self.ordered.values()
    }

    /// Up to `most` entries after the one named, and the last of them if there are more.
    pub(super) fn page(
        &self,
        after: Option<&str>,
        stateless: bool,
        most: usize,
    ) -> (Vec<&Value>, Option<&str>) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.ordered.range::<str, _>((start, Bound::Unbounded));
        let page: Vec<_> = rest.by_ref().take(most).collect();
        let more = rest.next().is_some();
        let last = page.last().map(|(key, _)| &***key).filter(|_| more);
        (page.into_iter().map(|(_, entry)| &entry.shown()[usize::from(stateless)]).collect(), last)
    }
}

/// A table that is read without a lock and replaced as a whole when an entry comes or goes.
pub(crate) struct Catalog<E> {
    current: ArcSwap<Snapshot<E>>,
    most: usize,
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// There is one of its key.
    Taken,
    /// There are as many as may be.
    Full,
}

impl<E: Listed> Catalog<E> {
    /// An empty one, of at most so many entries.
    pub(crate) fn new(most: usize) -> Self {
        Self { current: ArcSwap::from_pointee(Snapshot::new(BTreeMap::new())), most }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot<E>> {
        self.current.load_full()
    }

    pub(crate) fn find(&self, key: &str) -> Option<Arc<E>> {
        self.current.load().get(key).cloned()
    }

    /// Adds all of them at once, or, if one finds no place, nothing; then its key is told.
    pub(crate) fn extend(&self, entries: Vec<E>) -> Result<(), (NoPlace, Arc<str>)> {
        let entries: Vec<_> = entries.into_iter().map(Arc::new).collect();
        let mut refused = None;
        self.current.rcu(|current| {
            refused = None;
            let mut ordered = current.ordered.clone();
            for entry in &entries {
                let why = match ordered.get(entry.key()) {
                    Some(_) => NoPlace::Taken,
                    None if ordered.len() >= self.most => NoPlace::Full,
                    None => {
                        ordered.insert(entry.key().clone(), entry.clone());
                        continue;
                    }
                };
                refused = Some((why, entry.key().clone()));
                return current.clone();
            }
            Arc::new(Snapshot::new(ordered))
        });
        refused.map_or(Ok(()), Err)
    }

    /// Adds an entry.
    pub(crate) fn insert(&self, entry: E) -> Result<(), NoPlace> {
        self.extend(vec![entry]).map_err(|(why, _)| why)
    }

    /// Removes an entry; whether there was one.
    pub(crate) fn remove(&self, key: &str) -> bool {
        let before = self.current.rcu(|current| {
            if current.get(key).is_none() {
                return current.clone();
            }
            let mut ordered = current.ordered.clone();
            ordered.remove(key);
            Arc::new(Snapshot::new(ordered))
        });
        before.get(key).is_some()
    }
}

impl<E: Listed> fmt::Debug for Catalog<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.current.load().ordered.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Catalog, Listed, NoPlace};
    use serde_json::{Value, json};
    use std::sync::Arc;

    struct Named(Arc<str>, [Value; 2]);

    impl Listed for Named {
        fn key(&self) -> &Arc<str> {
            &self.0
        }

        fn shown(&self) -> &[Value; 2] {
            &self.1
        }
    }

    fn named(name: &str) -> Named {
        Named(name.into(), [json!(name), json!(name)])
    }

    #[test]
    fn what_finds_no_place_changes_nothing() {
        let catalog = Catalog::new(3);
        assert_eq!(catalog.extend(vec![named("b"), named("a")]), Ok(()));
        assert_eq!(catalog.insert(named("a")), Err(NoPlace::Taken));
        let both = catalog.extend(vec![named("c"), named("d")]);
        assert_eq!(both, Err((NoPlace::Full, "d".into())));
        assert_eq!(format!("{catalog:?}"), r#"["a", "b"]"#);
        assert!(catalog.remove("b") && !catalog.remove("b"));
        assert_eq!(catalog.extend(vec![named("c"), named("d")]), Ok(()));
    }

    #[test]
    fn pages_are_in_order_and_go_on_where_the_last_ended() {
        let catalog = Catalog::new(9);
        catalog.extend(["c", "a", "d", "b"].map(named).into()).unwrap();
        let snapshot = catalog.snapshot();
        let page = |after| {
            let (page, last) = snapshot.page(after, false, 2);
            (page.into_iter().map(|shown| shown.as_str().unwrap()).collect::<Vec<_>>(), last)
        };
        assert_eq!(page(None), (vec!["a", "b"], Some("b")));
        // Whatever stood there may be gone by now.
        assert_eq!(page(Some("bb")), (vec!["c", "d"], None));
        assert_eq!(page(Some("d")), (vec![], None));
    }
}
