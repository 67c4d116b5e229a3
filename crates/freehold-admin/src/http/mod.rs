//! What is served where.

mod access;
mod body;
mod events;
mod query;

pub(crate) use body::AdminBody;

use crate::{
    health::Readiness, inspection::Query, limits, metrics, page, reports::Form, server::Site,
    telemetry::KeptReport,
};
use bytes::Bytes;
use freehold::runtime::{Runtime, TokioRuntime};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
        WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};
use std::sync::Arc;

type Answer = Response<AdminBody>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(AdminBody::Whole(Some(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A refusal that says what to do.
fn refuse(status: StatusCode, message: impl std::fmt::Display) -> Answer {
    answer(status, TEXT, format!("{message}\n"))
}

/// Answers one request. Every failure is a response.
pub(crate) fn handle<B>(site: &Arc<Site>, request: &Request<B>) -> Answer {
    let mut answer = checked(site, request);
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

fn checked<B>(site: &Arc<Site>, request: &Request<B>) -> Answer {
    let (options, headers) = (&site.options, request.headers());
    if !access::host_is_ours(options, request.uri(), headers) {
        let message = "this host name is not served here; allow it if it should be";
        return refuse(StatusCode::FORBIDDEN, message);
    }
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        let mut refused = refuse(StatusCode::METHOD_NOT_ALLOWED, "nothing is changed here: use GET");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let known = access::token_fits(options, headers);
    match request.uri().path() {
        // Browsers ask for it by themselves.
        "/favicon.ico" => answer(StatusCode::NO_CONTENT, "image/x-icon", ""),
        "/livez" => answer(StatusCode::OK, TEXT, "alive\n"),
        // A probe has no token, and needs no reasons.
        "/readyz" => readiness(site, known),
        _ if !known => {
            let message = "send the token as `Authorization: Bearer TOKEN`, or as the password in a browser";
            let mut refused = refuse(StatusCode::UNAUTHORIZED, message);
            let challenge = HeaderValue::from_static("Basic realm=\"freehold\", charset=\"UTF-8\"");
            refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            refused.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            refused
        }
        path => route(site, path, request.uri().query(), headers),
    }
}

fn route(site: &Arc<Site>, path: &str, query: Option<&str>, headers: &HeaderMap) -> Answer {
    let asked = match query::query_of(query) {
        Ok(asked) => asked,
        Err(wrong) => return refuse(StatusCode::BAD_REQUEST, wrong),
    };
    match path {
        "/" => whole_page(site, query),
        "/events" => page_events(site, asked),
        "/metrics" => answer(StatusCode::OK, metrics::CONTENT_TYPE, site.metrics()),
        "/admin/inspect" => json(&site.inspection(&asked)),
        "/admin/reports" => json(&site.inspection(&Query::default()).reports),
        _ => match path.strip_prefix("/admin/reports/") {
            Some(named) => report(site, named, query, headers),
            None => refuse(
                StatusCode::NOT_FOUND,
                "nothing is served here; try /, /metrics, /livez, /readyz, /admin/inspect or /admin/reports",
            ),
        },
    }
}

fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => answer(StatusCode::OK, JSON, bytes),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

fn readiness(site: &Site, known: bool) -> Answer {
    let readiness = Readiness::of(site.source.is_draining(), &site.source.findings());
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match (known, readiness.is_ready()) {
        (true, _) => answer(status, TEXT, readiness.text()),
        (false, true) => answer(status, TEXT, "ready\n"),
        (false, false) => answer(status, TEXT, "not ready\n"),
    }
}

/// 128 random bits in hexadecimal digits.
fn nonce() -> String {
    let mut bytes = [0; 16];
    TokioRuntime.fill_random(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn page_answer(html: String, nonce: &str) -> Answer {
    let mut answer = answer(StatusCode::OK, HTML, html);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

fn whole_page(site: &Site, query: Option<&str>) -> Answer {
    let nonce = nonce();
    page_answer(site.page(&query::search_of(query), &nonce), &nonce)
}

fn page_events(site: &Arc<Site>, asked: Query) -> Answer {
    let Some(events) = events::follow(site, asked) else {
        let message = format!("{} pages are open already; close one", limits::VIEWERS);
        let mut refused = refuse(StatusCode::SERVICE_UNAVAILABLE, message);
        refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return refused;
    };
    let mut answer = Response::new(events);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}

/// `ID`, or `ID.json` and so on.
fn report(site: &Site, named: &str, query: Option<&str>, headers: &HeaderMap) -> Answer {
    let (id, ending) = match named.rsplit_once('.') {
        Some((id, ending)) => (id, Some(ending.to_owned())),
        None => (named, query::value_of(query, "format")),
    };
    let Some(kept) = site.gathered().report(id) else {
        let message = format!("no report {id:?} is kept; the last {} are, see /admin/reports", limits::KEPT);
        return refuse(StatusCode::NOT_FOUND, message);
    };
    match ending.as_deref().map(Form::named) {
        Some(Some(form)) => answer(StatusCode::OK, form.content_type(), form.write(&kept.report)),
        Some(None) => {
            let message = "a report is written as txt, json, dot or svg";
            refuse(StatusCode::NOT_FOUND, message)
        }
        None => in_accepted_form(&kept, headers),
    }
}

fn in_accepted_form(kept: &KeptReport, headers: &HeaderMap) -> Answer {
    let accepts = |wanted: &str| {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|range| {
            range.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
        })
    };
    if accepts("text/html") {
        let nonce = nonce();
        return page_answer(page::report_page(kept, TokioRuntime.now(), &nonce), &nonce);
    }
    let form = if accepts("application/json") { Form::Json } else { Form::Text };
    answer(StatusCode::OK, form.content_type(), form.write(&kept.report))
}
