use super::table::{Listed, Snapshot};
use crate::{
    cache::CacheHint,
    model::{Meta, ServerMeta},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use freehold::{ErrorObject, HandlerResult, write_result};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{borrow::Cow, sync::Arc, time::Duration};

/// Answers one of the requests that list a catalog.
pub(crate) struct ListPages {
    /// The member of the result that has the entries; cursors of one list do not fit another.
    pub(crate) member: &'static str,
    /// Entries on one page.
    pub(crate) page: usize,
    /// What stateless results say of how long they hold.
    pub(crate) hint: CacheHint,
    pub(crate) server_meta: Arc<ServerMeta>,
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    cursor: Option<Cow<'a, str>>,
}

impl ListPages {
    /// The page that `params` ask for.
    pub(crate) fn answer<E: Listed>(
        &self,
        entries: &Snapshot<E>,
        params: Option<&RawValue>,
    ) -> HandlerResult {
        self.answer_beside(&[], entries, params)
    }

    /// The same, with what others do not see at the head of the first page.
    pub(crate) fn answer_beside<E: Listed>(
        &self,
        first: &[&Value],
        entries: &Snapshot<E>,
        params: Option<&RawValue>,
    ) -> HandlerResult {
        let stateless = Meta::of(params).claims_stateless();
        let asked: Params<'_> = match params {
            Some(raw) => serde_json::from_str(raw.get()).map_err(ErrorObject::invalid_params)?,
            None => Params::default(),
        };
        if let Some(cursor) = asked.cursor {
            return self.render(&[], entries, Some(&self.read_cursor(&cursor)?), stateless);
        }
        if !first.is_empty() {
            return self.render(first, entries, None, stateless);
        }
        let cell = &entries.first_page[usize::from(stateless)];
        if let Some(page) = cell.get() {
            return Ok(page.clone());
        }
        let page = self.render(&[], entries, None, stateless)?;
        Ok(cell.get_or_init(|| page).clone())
    }

    fn render<E: Listed>(
        &self,
        first: &[&Value],
        entries: &Snapshot<E>,
        after: Option<&str>,
        stateless: bool,
    ) -> HandlerResult {
        let (mut page, last) = entries.page(after, stateless, self.page);
        page.splice(..0, first.iter().copied());
        let mut result = json!({ self.member: page });
        if let Some(last) = last {
            result["nextCursor"] = Value::String(self.cursor(last));
        }
        if stateless {
            result["resultType"] = json!("complete");
            // What only some see must be in no cache that others share.
            let hint = if first.is_empty() { self.hint } else { CacheHint::private(Duration::ZERO) };
            hint.write(&mut result);
            result["_meta"] = json!(&*self.server_meta);
        }
        write_result(&result)
    }

    /// A cursor names the list and the last entry of the page before, which may be gone when it comes back.
    fn cursor(&self, last: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(format!("{}\n{last}", self.member))
    }

    fn read_cursor(&self, cursor: &str) -> Result<String, ErrorObject> {
        let named = || {
            let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
            let last = text.strip_prefix(self.member)?.strip_prefix('\n')?;
            Some(last.to_owned())
        };
        named().ok_or_else(|| {
            ErrorObject::invalid_params("this cursor was not given by this list; ask for it without one")
        })
    }
}
