use super::table::Snapshot;
use crate::{model::Meta, protocol::key};
use freehold::{ErrorObject, HandlerResult, State, write_result};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::borrow::Cow;

/// Tools on one page of `tools/list`.
const PAGE: usize = 500;
/// Cursors are opaque to clients: this, then the name of the last tool of the page before.
const CURSOR_PREFIX: &str = "after:";

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    cursor: Option<Cow<'a, str>>,
}

/// The result of `tools/list`.
pub(crate) fn list_tools<S: State>(
    tools: &Snapshot<S>,
    params: Option<&RawValue>,
    server_info: &Value,
) -> HandlerResult {
    let stateless = Meta::of(params).claims_stateless();
    let asked: Params<'_> = match params {
        Some(raw) => serde_json::from_str(raw.get()).map_err(ErrorObject::invalid_params)?,
        None => Params::default(),
    };
    let Some(cursor) = asked.cursor else {
        let cell = &tools.first_page[usize::from(stateless)];
        if let Some(page) = cell.get() {
            return Ok(page.clone());
        }
        let page = render(tools, None, stateless, server_info)?;
        return Ok(cell.get_or_init(|| page).clone());
    };
    match cursor.strip_prefix(CURSOR_PREFIX) {
        Some(after) => render(tools, Some(after), stateless, server_info),
        None => Err(ErrorObject::invalid_params("this cursor was not given by tools/list")),
    }
}

fn render<S: State>(
    tools: &Snapshot<S>,
    after: Option<&str>,
    stateless: bool,
    server_info: &Value,
) -> HandlerResult {
    let (page, last) = tools.page(after, stateless, PAGE);
    let mut result = json!({ "tools": page });
    if let Some(last) = last {
        result["nextCursor"] = json!(format!("{CURSOR_PREFIX}{last}"));
    }
    if stateless {
        result["resultType"] = json!("complete");
        result["ttlMs"] = json!(0);
        result["cacheScope"] = json!("public");
        result["_meta"] = json!({ key::SERVER_INFO: server_info });
    }
    write_result(&result)
}
