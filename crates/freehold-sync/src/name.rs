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
pub struct ActivityName(Text);

#[derive(Clone, Debug)]
enum Text {
    Own(Cow<'static, str>),
    Shared(Arc<str>),
}

impl ActivityName {
    pub(crate) const NONE: Self = Self(Text::Own(Cow::Borrowed("")));

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Own(text) => text,
            Text::Shared(text) => text,
        }
    }

    /// Cut to [`limits::NAME_BYTES`].
    pub(crate) fn cut(self) -> Self {
        if self.as_str().len() <= limits::NAME_BYTES {
            return self;
        }
        let end = (0..=limits::NAME_BYTES).rev().find(|end| self.as_str().is_char_boundary(*end));
        self.as_str()[..end.unwrap_or(0)].to_owned().into()
    }

    pub(crate) fn into_cow(self) -> Cow<'static, str> {
        match self.0 {
            Text::Own(text) => text,
            Text::Shared(text) => Cow::Owned((*text).to_owned()),
        }
    }
}

impl From<&'static str> for ActivityName {
    fn from(text: &'static str) -> Self {
        Self(Text::Own(text.into()))
    }
}

impl From<String> for ActivityName {
    fn from(text: String) -> Self {
        Self(Text::Own(text.into()))
    }
}

impl From<Cow<'static, str>> for ActivityName {
    fn from(text: Cow<'static, str>) -> Self {
        Self(Text::Own(text))
    }
}

impl From<Arc<str>> for ActivityName {
    fn from(text: Arc<str>) -> Self {
        Self(Text::Shared(text))
    }
}
