//! Names of activities.

use crate::limits;
use std::{
    any::Any,
    borrow::Cow,
    fmt,
    sync::{Arc, Weak},
};

/// The name of an activity: text, or text that is shared with others of its name and so costs no copy. It may also say
/// what the activity is [about](Self::about).
///
/// # Examples
///
/// ```
/// use freehold_sync::ActivityName;
///
/// let method: std::sync::Arc<str> = "transfer".into();
/// assert_eq!(ActivityName::from(method).as_str(), ActivityName::from("transfer").as_str());
/// ```
#[derive(Clone)]
pub struct ActivityName {
    text: Text,
    about: Option<Weak<dyn Any + Send + Sync>>,
}

#[derive(Clone)]
enum Text {
    Own(Cow<'static, str>),
    Shared(Arc<str>),
}

impl ActivityName {
    pub(crate) const NONE: Self = Self::of(Text::Own(Cow::Borrowed("")));

    const fn of(text: Text) -> Self {
        Self { text, about: None }
    }

    /// Says what the activity is about: a value of the caller's own, which it keeps, and gets back from whoever finds the
    /// activity ([`Poll::about`](crate::Poll::about)). A name that is given later and says nothing of it leaves it as it is.
    #[must_use]
    pub fn about<T: Any + Send + Sync>(self, value: &Arc<T>) -> Self {
        let value: Weak<T> = Arc::downgrade(value);
        Self { about: Some(value), ..self }
    }

    pub(crate) fn upgrade_about(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.about.as_ref()?.upgrade()
    }

    pub(crate) fn inherit_about(&mut self, before: &Self) {
        if self.about.is_none() {
            self.about.clone_from(&before.about);
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.text {
            Text::Own(text) => text,
            Text::Shared(text) => text,
        }
    }

    /// The address of what it is about; zero if nobody said it.
    pub(crate) fn tag(&self) -> usize {
        self.about.as_ref().map_or(0, |value| value.as_ptr().addr())
    }

    /// Cut to [`limits::NAME_BYTES`].
    pub(crate) fn cut(self) -> Self {
        if self.as_str().len() <= limits::NAME_BYTES {
            return self;
        }
        let end = (0..=limits::NAME_BYTES).rev().find(|end| self.as_str().is_char_boundary(*end));
        let text = Text::Own(Cow::Owned(self.as_str()[..end.unwrap_or(0)].to_owned()));
        Self { text, ..self }
    }

    pub(crate) fn into_cow(self) -> Cow<'static, str> {
        match self.text {
            Text::Own(text) => text,
            Text::Shared(text) => Cow::Owned((*text).to_owned()),
        }
    }
}

impl fmt::Debug for ActivityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActivityName").field(&self.as_str()).finish()
    }
}

impl From<&'static str> for ActivityName {
    fn from(text: &'static str) -> Self {
        Self::of(Text::Own(text.into()))
    }
}

impl From<String> for ActivityName {
    fn from(text: String) -> Self {
        Self::of(Text::Own(text.into()))
    }
}

impl From<Cow<'static, str>> for ActivityName {
    fn from(text: Cow<'static, str>) -> Self {
        Self::of(Text::Own(text))
    }
}

impl From<Arc<str>> for ActivityName {
    fn from(text: Arc<str>) -> Self {
        Self::of(Text::Shared(text))
    }
}
