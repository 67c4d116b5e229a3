//! Lock classes: what locks made for the same purpose have in common.

use crate::{level::LockLevel, metrics::ClassMetrics, raw::Kind};
use std::{
    collections::HashMap,
    fmt,
    panic::Location,
    ptr,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

/// What locks of one purpose have in common: a name, a level in the order, and their measurements.
///
/// A lock that is not given a class gets one by the place in the source where it was made.
///
/// # Examples
///
/// ```
/// use freehold_sync::{LockClass, LockLevel, Mutex};
///
/// static ACCOUNT: LockClass = LockClass::new("account").at(LockLevel::HANDLER);
/// let balance = Mutex::with_class(&ACCOUNT, 100);
/// assert_eq!(balance.class().name(), "account");
/// ```
pub struct LockClass {
    name: &'static str,
    level: Option<LockLevel>,
    site: Option<&'static Location<'static>>,
    number: AtomicU32,
    registered: AtomicBool,
    pub(crate) metrics: ClassMetrics,
}

impl LockClass {
    /// A class called `name`, without a level: its locks are exempt from the order.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            level: None,
            site: None,
            number: AtomicU32::new(0),
            registered: AtomicBool::new(false),
            metrics: ClassMetrics::new(),
        }
    }

    /// The same class, with its locks at `level` of the order.
    #[must_use]
    pub const fn at(self, level: LockLevel) -> Self {
        // Field by field: the rest has destructors, which a constant cannot run.
        Self { level: Some(level), ..self }
    }

    /// Its name: the one it was given, or the place where its locks are made, as `file:line:column`; or, if that place is
    /// in the standard library (`iter.map(Mutex::new)`), `unnamed` and the module, which all such locks share.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its level in the order, if it has one.
    #[must_use]
    pub fn level(&self) -> Option<LockLevel> {
        self.level
    }

    /// Where its locks are made; only for a class that was not named.
    #[must_use]
    pub fn site(&self) -> Option<&'static Location<'static>> {
        self.site
    }

    /// What was counted and measured so far.
    pub fn metrics(&self) -> crate::metrics::ClassSnapshot {
        self.metrics.snapshot()
    }

    /// A number of its own, from one up.
    pub(crate) fn number(&'static self) -> u32 {
        self.register();
        self.number.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn register(&'static self) {
        if !self.registered.load(Ordering::Acquire) {
            self.register_now();
        }
    }

    #[cold]
    fn register_now(&'static self) {
        let mut all = classes();
        if !self.registered.load(Ordering::Relaxed) {
            all.push(self);
            self.number.store(all.len() as u32, Ordering::Relaxed);
            self.registered.store(true, Ordering::Release);
        }
    }
}

impl fmt::Debug for LockClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockClass")
            .field("name", &self.name)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

static CLASSES: Mutex<Vec<&'static LockClass>> = Mutex::new(Vec::new());

fn classes() -> std::sync::MutexGuard<'static, Vec<&'static LockClass>> {
    CLASSES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All classes that were used so far. A class counts as used once one of its locks was contended, sampled (every 64th
/// acquisition) or checked against the order.
#[must_use]
pub fn all() -> Vec<&'static LockClass> {
    classes().clone()
}

/// The class of a lock as far as it is known: named, or to be looked up by a creation site.
#[derive(Clone, Copy)]
pub(crate) struct ClassRef(*const ());

impl ClassRef {
    pub(crate) const fn named(class: &'static LockClass) -> Self {
        Self(ptr::from_ref(class).cast())
    }

    pub(crate) const fn made_at(site: &'static Location<'static>) -> Self {
        // Both types are aligned to more than a byte, so an odd pointer can only be this.
        Self(ptr::from_ref(site).cast::<()>().wrapping_byte_add(1))
    }

    #[inline]
    pub(crate) const fn to_ptr(self) -> *mut () {
        self.0.cast_mut()
    }

    #[inline]
    pub(crate) fn from_ptr(word: *mut ()) -> Self {
        Self(word)
    }

    /// The class, if it is known without a look-up.
    #[inline]
    pub(crate) fn known(self) -> Option<&'static LockClass> {
        if self.0.addr() & 1 == 1 {
            return None;
        }
        // SAFETY: an even pointer is null or was made of a `&'static LockClass`.
        let class = unsafe { self.0.cast::<LockClass>().as_ref() };
        if let Some(class) = class {
            class.register();
        }
        class
    }

    fn site(self) -> Option<&'static Location<'static>> {
        if self.0.addr() & 1 == 0 {
            return None;
        }
        // SAFETY: an odd pointer was made of a `&'static Location`.
        Some(unsafe { &*self.0.wrapping_byte_sub(1).cast::<Location<'static>>() })
    }

    /// The class, looked up (and made, the first time) by the creation site.
    #[cold]
    pub(crate) fn resolve(self, kind: Kind) -> &'static LockClass {
        static BY_SITE: OnceLock<Mutex<HashMap<(usize, u8), &'static LockClass>>> = OnceLock::new();
        if let Some(class) = self.known() {
            return class;
        }
        let site = self.site();
        let key = (site.map_or(0, |site| ptr::from_ref(site).addr()), kind as u8);
        let mut by_site =
            BY_SITE.get_or_init(|| Mutex::new(HashMap::new())).lock().unwrap_or_else(PoisonError::into_inner);
        let class = *by_site.entry(key).or_insert_with(|| {
            let name = match site {
                Some(site) => Box::leak(name_of(site).into_boxed_str()),
                None => "end of an activity",
            };
            let mut class = LockClass::new(name);
            class.site = site;
            Box::leak(Box::new(class))
        });
        drop(by_site);
        class.register();
        class
    }
}

/// What a class begins with that was made through a function of the standard library.
pub(crate) const UNNAMED: &str = "unnamed (";

/// The name of a class by the place where its locks are made.
fn name_of(site: &Location<'_>) -> String {
    match module_of_std(site.file()) {
        Some(module) => format!("{UNNAMED}{module})"),
        None => site.to_string(),
    }
}

/// `core::ops::function` of `/rustc/..../library/core/src/ops/function.rs`. A path of somebody else's is none.
fn module_of_std(file: &str) -> Option<String> {
    let file = file.replace('\\', "/");
    let (_, within) = file.rsplit_once("/library/")?;
    let (library, module) = within.split_once("/src/")?;
    let module = module.strip_suffix(".rs").filter(|_| matches!(library, "core" | "alloc" | "std"))?;
    Some(format!("{library}::{}", module.strip_suffix("/mod").unwrap_or(module).replace('/', "::")))
}

#[cfg(test)]
mod tests {
    use super::module_of_std;

    #[test]
    fn only_the_standard_library_is_taken_for_it() {
        let rows = [
            ("/rustc/5980/library/core/src/ops/function.rs", Some("core::ops::function")),
            ("/home/me/.rustup/lib/rustlib/src/rust/library/core/src/array/mod.rs", Some("core::array")),
            (r"C:\rustc\library\alloc\src\vec.rs", Some("alloc::vec")),
            ("src/library/books.rs", None),
            ("/home/me/library/src/main.rs", None),
            ("/home/me/library/mine/src/main.rs", None),
            ("src/main.rs", None),
        ];
        for (file, module) in rows {
            assert_eq!(module_of_std(file).as_deref(), module, "{file}");
        }
    }
}
