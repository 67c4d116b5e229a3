use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A path that stays below the folder it is joined to: the type for a variable that becomes part of a path, such as
/// `{+path}`. A URI whose variable is no such path is that of no resource.
///
/// It has one or more parts with slashes between them, none of which is empty, `.` or `..`, and neither a backslash, a colon
/// nor NUL, so that it means the same on every system. Links in the file system are not looked at: a folder that is served
/// should have none that lead out of it.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{RelativePath, RequestContext, RequestError, ResourceTemplate};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Page {
///     path: RelativePath,
/// }
///
/// async fn page(_ctx: &RequestContext, page: Page) -> Result<Option<String>, RequestError> {
///     Ok(std::fs::read_to_string(page.path.below("docs")).ok())
/// }
///
/// let pages: ResourceTemplate<()> = ResourceTemplate::new("docs:///{+path}", "page", "A page.", page);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct RelativePath(String);

/// A text that may lead out of a folder, or means something else on another system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no path below a folder: name its parts, with slashes between them, and none of them `.` or `..`"
)]
pub struct NoRelativePath(String);

impl RelativePath {
    /// The text, with slashes between the parts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below `folder`.
    #[must_use]
    pub fn below(&self, folder: impl AsRef<Path>) -> PathBuf {
        folder.as_ref().join(&self.0)
    }
}

impl TryFrom<String> for RelativePath {
    type Error = NoRelativePath;

    fn try_from(text: String) -> Result<Self, NoRelativePath> {
        let part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
        if text.split('/').all(part) { Ok(Self(text)) } else { Err(NoRelativePath(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::RelativePath;
    use std::path::Path;

    #[test]
    fn no_path_leads_out_of_its_folder() {
        for (text, fits) in [
            ("a", true),
            ("a/b c/..d", true),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("a//b", false),
            (".", false),
            ("..", false),
            ("a/../../b", false),
            ("a/..", false),
            (r"..\a", false),
            ("C:/a", false),
            ("a\0", false),
        ] {
            let path = RelativePath::try_from(text.to_owned());
            assert_eq!(path.is_ok(), fits, "{text:?}");
            if let Ok(path) = path {
                assert_eq!(path.below("/served"), Path::new("/served").join(text));
            }
        }
    }
}
