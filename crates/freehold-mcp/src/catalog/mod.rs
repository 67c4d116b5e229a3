//! Tables of what a server offers (tools, prompts, resources, templates), and the lists of them that clients ask for.

mod list;
mod table;

pub(crate) use list::ListPages;
pub(crate) use table::{Catalog, Listed, NoPlace, Snapshot};
