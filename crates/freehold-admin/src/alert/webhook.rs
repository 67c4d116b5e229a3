//! Alerts as POST requests.

use super::{Alert, ReceiveAlert};
use crate::{client::HttpUrl, limits};
use std::io;

/// Posts each alert as JSON to an address, with a bound on the time that takes, and takes any answer of 200 to 299 as
/// success. Speaks plain HTTP: for a receiver elsewhere put a forwarder with TLS on this machine.
#[derive(Clone, Debug)]
pub struct Webhook(HttpUrl);

/// The text is no address of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook is an address such as http://127.0.0.1:9000/alerts; for https put a forwarder on this machine"
)]
#[non_exhaustive]
pub struct InvalidWebhook;

impl Webhook {
    /// One that posts to `url`.
    ///
    /// # Errors
    ///
    /// [`InvalidWebhook`] unless it is an `http://` address.
    pub fn new(url: &str) -> Result<Self, InvalidWebhook> {
        url.parse().map(Self).map_err(|_| InvalidWebhook)
    }
}

impl ReceiveAlert for Webhook {
    fn receive(&mut self, alert: &Alert) -> io::Result<()> {
        let body = serde_json::to_vec(alert)?;
        let status = self.0.post_json(&body, limits::WEBHOOK)?;
        match status {
            200..=299 => Ok(()),
            _ => Err(io::Error::other(format!("the webhook answered with status {status}"))),
        }
    }
}
