//! Who may ask: the host a request is addressed to, and the token it carries.

use crate::server::AdminOptions;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, HOST},
};
use subtle::ConstantTimeEq;

/// Whether this is a name of ours: else a page of somebody else's could be made to look like it (DNS rebinding).
pub(super) fn host_is_ours(options: &AdminOptions, uri: &Uri, headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().ok(),
        (None, _) => uri.authority().map(http::uri::Authority::as_str),
        _ => None,
    };
    let Some(host) = host else { return false };
    let name = without_port(host);
    let listed = |allowed: &String| {
        allowed == "*" || allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(name)
    };
    is_loopback(name) || options.allowed_hosts.iter().any(listed)
}

fn without_port(host: &str) -> &str {
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether the request carries the token, if there is one: as a bearer token, or as a password, which browsers ask for.
pub(super) fn token_fits(options: &AdminOptions, headers: &HeaderMap) -> bool {
    let Some(token) = &options.token else { return true };
    let fits = |given: &[u8]| bool::from(given.ct_eq(token.as_bytes()));
    let Some(given) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return false };
    match given.split_once(' ') {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => fits(given.trim().as_bytes()),
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("basic") => {
            let Ok(pair) = STANDARD.decode(given.trim()) else { return false };
            let at = pair.iter().position(|byte| *byte == b':');
            at.is_some_and(|at| fits(&pair[at + 1..]))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn names_of_this_machine_and_listed_ones_are_ours() {
        let options =
            AdminOptions { allowed_hosts: vec!["admin.test".to_owned()], ..AdminOptions::default() };
        let uri = Uri::from_static("/");
        let ours = |host: &str| host_is_ours(&options, &uri, &headers(HOST, host));
        for host in ["localhost:8809", "127.0.0.1", "[::1]:8809", "LOCALHOST", "admin.test", "admin.test:1"] {
            assert!(ours(host), "{host}");
        }
        for host in ["evil.test", "localhost.evil.test", "192.0.2.1", "", "127.0.0.1.evil.test:8809"] {
            assert!(!ours(host), "{host}");
        }
        assert!(!host_is_ours(&options, &uri, &HeaderMap::new()));
        let mut twice = headers(HOST, "localhost");
        twice.append(HOST, HeaderValue::from_static("evil.test"));
        assert!(!host_is_ours(&options, &uri, &twice));
    }

    #[test]
    fn a_token_comes_as_a_bearer_token_or_as_a_password() {
        let options = AdminOptions { token: Some("s3cret".to_owned()), ..AdminOptions::default() };
        let fits = |value: &str| token_fits(&options, &headers(AUTHORIZATION, value));
        assert!(fits("Bearer s3cret") && fits("bearer s3cret"));
        assert!(fits(&format!("Basic {}", STANDARD.encode("anybody:s3cret"))));
        for bad in ["", "Bearer", "Bearer s3cre", "Basic s3cret", "Basic !!", "Digest s3cret"] {
            assert!(!fits(bad), "{bad}");
        }
        assert!(!fits(&format!("Basic {}", STANDARD.encode("s3cret:"))));
        assert!(!token_fits(&options, &HeaderMap::new()));
        assert!(token_fits(&AdminOptions::default(), &HeaderMap::new()));
    }
}
