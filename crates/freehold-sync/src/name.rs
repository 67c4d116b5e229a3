//! Names of activities.

use crate::limits;
use std::{borrow::Cow, sync::Arc};

/// The name of an activity: text, or text that is shared with others of its name and so costs no copy.
///
/// # Examples
///
/// ```
/// use freehold_sync::ActivityName;
///
/// let method: std::sync::Arc<str> = "transfer".into();
/// assert_eq!(ActivityName::from(method).as_str(), ActivityName::from("transfer").as_str());
/// ```
#[derive(Clone, Debug)]
pub struct ActivityName {
    text: Text,
    tag: usize,
}

#[derive(Clone, Debug)]
enum Text {
    Own(Cow<'static, str>),
    Shared(Arc<str>),
}

impl ActivityName {
    pub(crate) const NONE: Self = Self::of(Text::Own(Cow::Borrowed("")));

    const fn of(text: Text) -> Self {
        Self { text, tag: 0 }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.text {
            Text::Own(text) => text,
            Text::Shared(text) => text,
        }
    }

    /// Gives it a number of the program's own, zero for none, that reports show as [`Actor::tag`](crate::Actor::tag): to
    /// find what the activity stands for.
    #[must_use]
    pub fn tagged(self, tag: usize) -> Self {
        Self { tag, ..self }
    }

    pub(crate) fn tag(&self) -> usize {
        self.tag
    }

    /// Cut to [`limits::NAME_BYTES`].
    pub(crate) fn cut(self) -> Self {
        if self.as_str().len() <= limits::NAME_BYTES {
            return self;
        }
        let end = (0..=limits::NAME_BYTES).rev().find(|end| self.as_str().is_char_boundary(*end));
        Self::from(self.as_str()[..end.unwrap_or(0)].to_owned()).tagged(self.tag)
    }

    pub(crate) fn into_cow(self) -> Cow<'static, str> {
        match self.text {
            Text::Own(text) => text,
            Text::Shared(text) => Cow::Owned((*text).to_owned()),
        }
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
