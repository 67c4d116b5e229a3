//! The admin server of `freehold serve`.

use crate::{
    config::{Config, ConfigError, Reach},
    failure::Failure,
};
use freehold::{Engine, State};
use freehold_admin::{AdminError, AdminServer, ReceiveAlert, RunningAdmin, Telemetry};
use std::{io, net::SocketAddr};

/// Where it is to be, if anywhere.
pub(crate) struct AdminTarget(Option<(Vec<SocketAddr>, Reach)>);

impl AdminTarget {
    pub(crate) fn of(config: &Config) -> Result<Self, ConfigError> {
        config.admin_addresses().map(Self)
    }
}

/// What is gathered, and told to the webhooks.
pub(crate) fn telemetry(config: &Config) -> Result<Telemetry, Failure> {
    let webhooks = config.webhooks()?.into_iter();
    let receivers = webhooks.map(|webhook| Box::new(webhook) as Box<dyn ReceiveAlert>).collect();
    Ok(Telemetry::with_receivers(receivers)?)
}

/// Shows it; nothing if that is not wanted, or if nobody said where and the place is taken.
pub(crate) fn show<S: State>(
    target: AdminTarget,
    config: &Config,
    engine: &Engine<S>,
    telemetry: &Telemetry,
) -> Result<Option<RunningAdmin>, Failure> {
    let Some((addresses, reach)) = target.0 else { return Ok(None) };
    let bound = match AdminServer::bind(&*addresses, config.admin_options(reach)) {
        Ok(bound) => bound,
        Err(AdminError::Listen(error)) if error.kind() == io::ErrorKind::AddrInUse => {
            let address = config.admin.clone();
            if config.is_default_admin() {
                tracing::warn!(
                    address,
                    "no admin page: another program listens there, perhaps another freehold; choose with --admin"
                );
                return Ok(None);
            }
            return Err(Failure::AdminAddressInUse { address });
        }
        Err(error) => {
            return Err(Failure::Admin { address: config.admin.clone(), reason: error.to_string() });
        }
    };
    let started = bound.start(engine, telemetry);
    let admin = started
        .map_err(|error| Failure::Admin { address: config.admin.clone(), reason: error.to_string() })?;
    tracing::info!(url = admin.url(), "the admin page");
    if reach == Reach::Network {
        tracing::warn!(
            "other machines can reach the admin page, and without TLS; put a proxy with TLS in front"
        );
    }
    Ok(Some(admin))
}
