//! Stress and soak of `freehold serve`: an open loop at twice its capacity beside churning sessions; afterwards every request
//! has had its one outcome, and everything is as it was before.
//!
//! A run ([`run`]) starts the server ([`server`]), finds its capacity in a closed loop ([`capacity`]), goes through one short
//! cycle to warm up and the one that counts ([`cycle`]: [`open_loop`] and [`churn`], [`watch`]ed), and compares what the
//! client counted ([`tally`]) with the bounds ([`limits`]) and with the server's books ([`metrics`]): [`verdicts`].

pub mod answers;
pub mod books;
pub mod capacity;
pub mod churn;
pub mod client;
pub mod connections;
pub mod cycle;
pub mod limits;
pub mod metrics;
pub mod mixture;
pub mod money;
pub mod open_loop;
pub mod run;
pub mod server;
pub mod tally;
pub mod verdicts;
pub mod watch;
