//! Resources: what a client may read, by URI; and templates of such URIs.

mod output;
mod read;
mod relative_path;
mod resource;
mod subscribe;
mod table;
mod template;
mod uri_template;

pub use output::{ReadResourceResult, ResourceOutput};
pub(crate) use read::ReadResource;
pub use relative_path::{NoRelativePath, RelativePath};
pub use resource::Resource;
pub(crate) use subscribe::{subscribe, unsubscribe};
pub use table::ResourceTable;
pub use template::ResourceTemplate;
pub use uri_template::InvalidUriTemplate;
pub(crate) use uri_template::is_uri;
