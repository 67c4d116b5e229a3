//! What every request must pass before anything of it is read.

use super::{
    answer::{self, HttpBody, Refusal},
    options::HttpOptions,
};
use freehold::{ErrorCode, ErrorObject};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{
        ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST,
        ORIGIN, VARY, WWW_AUTHENTICATE,
    },
};
use subtle::ConstantTimeEq;

const METHODS: &str = "GET, POST, DELETE, OPTIONS";
/// The star is for `Mcp-Param-...`; it alone would leave `Authorization` out.
const CORS_HEADERS: &str = "Content-Type, Accept, Authorization, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Last-Event-ID, *";

fn refuse(status: StatusCode, message: &'static str) -> Result<(), Refusal> {
    Err(Refusal::from(answer::refuse(status, None, message)))
}

/// Checks path, host, origin and token, in this order.
pub(super) fn check<B>(options: &HttpOptions, request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    if request.uri().path() != options.path {
        let message = format!("nothing is served at this path; the endpoint is {}", options.path);
        return Err(Refusal::from(answer::refuse(StatusCode::NOT_FOUND, None, message)));
    }
    check_host(options, request)?;
    if headers.contains_key(ORIGIN) && allowed_origin(options, headers).is_none() {
        return refuse(StatusCode::FORBIDDEN, "this origin may not call; allow it if it should");
    }
    // A browser asks before it sends anything of the user's, and so without the token.
    if request.method() != Method::OPTIONS && !token_fits(options, headers) {
        return Err(unauthorized().into());
    }
    Ok(())
}

pub(super) fn check_host<B>(options: &HttpOptions, request: &Request<B>) -> Result<(), Refusal> {
    let Some(host) = host_of(request.uri(), request.headers()) else {
        return refuse(StatusCode::BAD_REQUEST, "the header Host is missing, stands twice or is not text");
    };
    if !host_is_allowed(options, host) {
        return refuse(StatusCode::FORBIDDEN, "this host name is not served here; allow it if it should be");
    }
    Ok(())
}

/// Checks method and media types.
pub(super) fn check_form<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    match *request.method() {
        Method::OPTIONS => Ok(()),
        Method::POST => check_post(headers),
        Method::GET if !accepts(headers, "text/event-stream") => {
            refuse(StatusCode::NOT_ACCEPTABLE, "GET gives a stream: accept text/event-stream")
        }
        Method::GET | Method::DELETE => Ok(()),
        _ => Err(method_not_allowed(METHODS).into()),
    }
}

fn check_post(headers: &HeaderMap) -> Result<(), Refusal> {
    if !accepts(headers, "application/json") || !accepts(headers, "text/event-stream") {
        let message = "accept both application/json and text/event-stream";
        return Err(Refusal::from(answer::refuse(StatusCode::NOT_ACCEPTABLE, None, message)));
    }
    let essence = headers.get(CONTENT_TYPE).map(|value| media_type(value.as_bytes()));
    if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case(b"application/json")) {
        let message = "the content type must be application/json";
        return Err(Refusal::from(answer::refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, message)));
    }
    Ok(())
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response<HttpBody> {
    let mut response = answer::refuse(StatusCode::METHOD_NOT_ALLOWED, None, "this method is not served here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn unauthorized() -> Response<HttpBody> {
    let error = ErrorObject::new(ErrorCode::INVALID_REQUEST, "send the header Authorization: Bearer TOKEN");
    let mut response = answer::error(StatusCode::UNAUTHORIZED, None, error);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn token_fits(options: &HttpOptions, headers: &HeaderMap) -> bool {
    let Some(token) = &options.token else { return true };
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let Some((scheme, given)) = given.and_then(|value| value.split_at_checked(7)) else { return false };
    scheme.eq_ignore_ascii_case(b"bearer ") && given.ct_eq(token.as_bytes()).into()
}

/// The part of a media type before its parameters.
fn media_type(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// Whether `Accept` lists the media type, or a wild card that covers it, without refusing it by `q=0`.
fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let main = wanted.split('/').next().unwrap_or_default();
    let covers = |range: &[u8]| {
        let essence = media_type(range);
        let refused = range
            .split(|byte| *byte == b';')
            .skip(1)
            .any(|parameter| matches!(parameter.trim_ascii(), b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000"));
        let wild = essence
            .strip_suffix(b"/*")
            .is_some_and(|of| of == b"*" || of.eq_ignore_ascii_case(main.as_bytes()));
        !refused && (wild || essence.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    headers.get_all(ACCEPT).iter().any(|value| value.as_bytes().split(|byte| *byte == b',').any(covers))
}

/// The host without its port.
fn without_port(host: &str) -> &str {
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn is_loopback(host: &str) -> bool {
    let host = without_port(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The value of a header that may stand once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The host that the request is addressed to; HTTP/2 has it in the URI.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if headers.contains_key(HOST) { only(headers, HOST)?.to_str().ok() } else { uri.host() }
}

fn host_is_allowed(options: &HttpOptions, host: &str) -> bool {
    let listed = |host: &str| {
        options.allowed_hosts.iter().any(|allowed| {
            allowed == "*"
                || allowed.eq_ignore_ascii_case(host)
                || allowed.eq_ignore_ascii_case(without_port(host))
        })
    };
    is_loopback(host) || listed(host)
}

fn allowed_origin<'a>(options: &HttpOptions, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let origin = only(headers, ORIGIN)?;
    let text = origin.to_str().ok()?;
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let listed =
        options.allowed_origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(text));
    (listed || host.is_some_and(is_loopback)).then_some(origin)
}

/// The origin to name in the answer, if the request comes from a browser that may read it.
pub(super) fn cors_origin(options: &HttpOptions, headers: &HeaderMap) -> Option<HeaderValue> {
    allowed_origin(options, headers).cloned()
}

pub(super) fn add_cors(response: &mut Response<HttpBody>, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    headers
        .insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Mcp-Session-Id, WWW-Authenticate"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(CORS_HEADERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}

#[cfg(test)]
mod tests {
    use super::{HttpOptions, accepts, allowed_origin, check, check_form};
    use http::{HeaderMap, Request, StatusCode, header::ACCEPT};

    #[test]
    fn accept_headers() {
        for (accept, json) in [
            ("application/json, text/event-stream", true),
            ("text/event-stream", false),
            ("Application/JSON;q=0.5", true),
            ("application/json;q=0", false),
            ("*/*", true),
            ("application/*", true),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(accepts(&headers, "application/json"), json, "{accept}");
        }
    }

    #[test]
    fn origins() {
        let options =
            HttpOptions { allowed_origins: vec!["https://app.example".into()], ..HttpOptions::default() };
        for (origin, allowed) in [
            ("http://localhost:3000", true),
            ("http://127.0.0.1", true),
            ("https://[::1]:8443", true),
            ("https://app.example", true),
            ("https://app.example.evil.test", false),
            ("http://localhost.evil.test", false),
            ("http://localhost:1.evil.test", false),
            ("http://[::1", false),
            ("null", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("origin", origin.parse().unwrap());
            assert_eq!(allowed_origin(&options, &headers).is_some(), allowed, "{origin}");
        }
    }

    fn status(request: http::request::Builder, options: &HttpOptions) -> Option<StatusCode> {
        let request = request.body(()).unwrap();
        check(options, &request).and_then(|()| check_form(&request)).err().map(|response| response.status())
    }

    #[test]
    fn the_front_door() {
        let post = || {
            Request::post("/mcp")
                .header("host", "127.0.0.1:1")
                .header("accept", "application/json, text/event-stream")
                .header("content-type", "application/json; charset=utf-8")
        };
        let options = HttpOptions::default();
        let with_token = HttpOptions { token: Some("secret".into()), ..HttpOptions::default() };
        assert_eq!(status(post(), &options), None);
        assert_eq!(status(post().uri("/other"), &options), Some(StatusCode::NOT_FOUND));
        assert_eq!(
            status(post().header("origin", "http://evil.test"), &options),
            Some(StatusCode::FORBIDDEN)
        );
        assert_eq!(status(post().method("PUT"), &options), Some(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(status(Request::post("/mcp"), &options), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status(post().header("host", "evil.test"), &options), Some(StatusCode::BAD_REQUEST));
        let evil_host = Request::post("/mcp").header("host", "evil.test");
        assert_eq!(status(evil_host, &options), Some(StatusCode::FORBIDDEN));
        let local = || Request::builder().uri("/mcp").header("host", "localhost");
        assert_eq!(status(local().method("POST"), &options), Some(StatusCode::NOT_ACCEPTABLE));
        assert_eq!(status(local().method("GET"), &options), Some(StatusCode::NOT_ACCEPTABLE));
        assert_eq!(status(local().method("DELETE"), &options), None);
        let text = local().method("POST").header("accept", "*/*").header("content-type", "text/plain");
        assert_eq!(status(text, &options), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        assert_eq!(status(post(), &with_token), Some(StatusCode::UNAUTHORIZED));
        let authorized = |token: &str| post().header("authorization", token);
        assert_eq!(status(authorized("Bearer wrong!"), &with_token), Some(StatusCode::UNAUTHORIZED));
        assert_eq!(status(authorized("bearer secret"), &with_token), None);
        assert_eq!(status(local().method("OPTIONS"), &with_token), None);
    }
}
